def set_theme():
    pass

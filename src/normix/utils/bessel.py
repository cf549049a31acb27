from normix.special.bessel import log_kv as log_kv

from normix.fitting.em.batch import BatchEMFitter as BatchEMFitter
from normix.fitting.em.result import EMResult as EMResult

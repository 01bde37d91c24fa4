; Runs one of Chez Scheme's own test files (mats) and prints how many tests it came past and which failed.
(define *mats-dir* ".")
(define *scheme* (getenv "SCHEME"))
(define *program* "program")
(load "mat.ss")
(mat-output (open-output-file "result.mo" 'replace))
(load (getenv "MAT"))
(exit)

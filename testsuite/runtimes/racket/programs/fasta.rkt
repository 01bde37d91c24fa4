#lang racket/base
;; Writes three DNA sequences in FASTA format: one by repetition, two by weighted random choice (a linear search in the
;; cumulative table for each letter).
(require racket/cmdline racket/flonum)

(define IM 139968)
(define IA 3877)
(define IC 29573)
(define IM.0 (->fl IM))
(define last-random 42)
(define (random-below max)
  (set! last-random (modulo (+ (* last-random IA) IC) IM))
  (fl/ (fl* max (->fl last-random)) IM.0))

(define width 60)

(define alu
  (bytes-append
   #"GGCCGGGCGCGGTGGCTCACGCCTGTAATCCCAGCACTTTGG"
   #"GAGGCCGAGGCGGGCGGATCACCTGAGGTCAGGAGTTCGAGA"
   #"CCAGCCTGGCCAACATGGTGAAACCCCGTCTCTACTAAAAAT"
   #"ACAAAAATTAGCCGGGCGTGGTGGCGCGCGCCTGTAATCCCA"
   #"GCTACTCGGGAGGCTGAGGCAGGAGAATCGCTTGAACCCGGG"
   #"AGGCGGAGGTTGCAGTGAGCCGAGATCGCGCCACTGCACTCC"
   #"AGCCTGGGCGACAGAGCGAGACTCCGTCTCAAAAA"))

(define iub
  '((#\a . 0.27) (#\c . 0.12) (#\g . 0.12) (#\t . 0.27) (#\B . 0.02) (#\D . 0.02) (#\H . 0.02) (#\K . 0.02)
    (#\M . 0.02) (#\N . 0.02) (#\R . 0.02) (#\S . 0.02) (#\V . 0.02) (#\W . 0.02) (#\Y . 0.02)))
(define homo-sapiens
  '((#\a . 0.3029549426680) (#\c . 0.1979883004921) (#\g . 0.1975473066391) (#\t . 0.3015094502008)))

(define (cumulative table)
  (let loop ([table table] [sum 0.0])
    (if (null? table)
        '()
        (let ([sum (fl+ sum (cdar table))])
          (cons (cons (char->integer (caar table)) sum) (loop (cdr table) sum))))))

(define (header id description)
  (write-string (string-append ">" id " " description "\n")))

(define (repeat id description n sequence)
  (header id description)
  (define size (bytes-length sequence))
  ;; one line's worth beyond the end, so that each line is one slice
  (define doubled (bytes-append sequence (subbytes sequence 0 width)))
  (let loop ([left n] [at 0])
    (when (> left 0)
      (define k (min left width))
      (write-bytes doubled (current-output-port) at (+ at k))
      (newline)
      (loop (- left k) (modulo (+ at k) size)))))

(define (choose table r)
  (if (or (null? (cdr table)) (fl< r (cdar table)))
      (caar table)
      (choose (cdr table) r)))

(define (random-sequence id description n table)
  (header id description)
  (define line (make-bytes (add1 width) 10))
  (let loop ([left n])
    (when (> left 0)
      (define k (min left width))
      (for ([i (in-range k)])
        (bytes-set! line i (choose table (random-below 1.0))))
      (bytes-set! line k 10)
      (write-bytes line (current-output-port) 0 (add1 k))
      (loop (- left k)))))

(define n (command-line #:args ([n "1000"]) (string->number n)))
(repeat "ONE" "Homo sapiens alu" (* n 2) alu)
(random-sequence "TWO" "IUB ambiguity codes" (* n 3) (cumulative iub))
(random-sequence "THREE" "Homo sapiens frequency" (* n 5) (cumulative homo-sapiens))

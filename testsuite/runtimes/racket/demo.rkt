#lang racket/base
;; Shown by `make demo RUNTIME=racket`.
(printf "Racket ~a (~a) here.\n" (version) (system-type 'vm))
(define (queens n)
  (let place ([row 0] [columns '()])
    (if (= row n)
        1
        (for/sum ([c (in-range n)]
                  #:unless (for/or ([other (in-list columns)] [d (in-naturals 1)])
                             (or (= c other) (= d (abs (- c other))))))
          (place (add1 row) (cons c columns))))))
(printf "Eight queens: ~a placements.\n" (queens 8))
(define channel (make-channel))
(for ([i (in-range 4)])
  (thread (lambda () (channel-put channel (expt 2 (expt 2 i))))))
(printf "Four threads say: ~a\n" (sort (for/list ([_ (in-range 4)]) (channel-get channel)) <))
(printf "A million conses and a collection: ~a left over.\n"
        (begin (for ([_ (in-range 1000000)]) (cons 1 2)) (collect-garbage) 0))

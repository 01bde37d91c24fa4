;;; What touches the system: threads, errors of the machine, the collector's page protection, a child.
(require :sb-posix)

(let ((total 0) (lock (sb-thread:make-mutex)))
  (mapc #'sb-thread:join-thread
        (loop for n below 8
              collect (let ((n n))
                        (sb-thread:make-thread
                         (lambda ()
                           (loop for i from 1 to 1000
                                 do (sb-thread:with-mutex (lock) (incf total (* i n)))))))))
  (format t "threads ~a~%" total))

(defun deep (n) (if (zerop n) 0 (+ 1 (deep (1- n)))))
(dotimes (i 2)
  (format t "~a~%" (handler-case (deep most-positive-fixnum)
                     (storage-condition () "stack exhausted"))))
(format t "~a~%" (handler-case (sb-sys:sap-ref-8 (sb-sys:int-sap 16) 0)
                   (sb-sys:memory-fault-error () "memory fault")))
(format t "~a~%" (handler-case (/ 1 (- (random 1) 0))
                   (division-by-zero () "division by zero")))

;; Old objects that point to new ones: writes to pages that the collector has protected.
(let ((old (make-array 200000 :initial-element nil)))
  (sb-ext:gc :full t)
  (dotimes (round 5)
    (loop for i below 200000 by 97 do (setf (aref old i) (list round i)))
    (sb-ext:gc))
  (format t "old ~a~%" (loop for x across old count (equal (first x) 4))))

(let ((caught 0))
  (sb-sys:enable-interrupt sb-posix:sigusr1 (lambda (&rest args) (declare (ignore args)) (incf caught)))
  (dotimes (i 5) (sb-posix:kill (sb-posix:getpid) sb-posix:sigusr1))
  (sleep 0.01)
  (format t "signals ~a~%" (plusp caught)))

(format t "~a" (with-output-to-string (s) (sb-ext:run-program "/bin/echo" '("child") :output s)))
(sb-ext:exit :code 5)

;;; Allocates many perfect binary trees bottom-up, walks them, and keeps one alive meanwhile.
(declaim (optimize (speed 2) (safety 1)))

(defun make (depth)
  (declare (fixnum depth))
  (if (zerop depth)
      (cons nil nil)
      (cons (make (1- depth)) (make (1- depth)))))

(defun check (tree)
  (if (car tree)
      (the fixnum (+ 1 (the fixnum (check (car tree))) (the fixnum (check (cdr tree)))))
      1))

(let* ((least 4)
       (most (max (+ least 2) (parse-integer (or (second sb-ext:*posix-argv*) "10"))))
       (kept (make most)))
  (format t "stretch tree of depth ~a check: ~a~%" (1+ most) (check (make (1+ most))))
  (loop for depth from least to most by 2
        for count = (ash 1 (+ (- most depth) least))
        do (format t "~a trees of depth ~a check: ~a~%" count depth
                   (loop repeat count sum (check (make depth)))))
  (format t "long lived tree of depth ~a check: ~a~%" most (check kept)))

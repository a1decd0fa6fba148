"""What is behind ``vidpred bench``: the suites, and the timer, machine facts and roofline they share."""

"""The doors: each turns what somebody sends into arrivals, and says what is wrong with what it cannot."""

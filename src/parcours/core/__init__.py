"""What happens: one pure function folds an input into the state of one contact and says what should follow."""

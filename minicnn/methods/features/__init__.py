"""What excites each unit most in a whole data set."""

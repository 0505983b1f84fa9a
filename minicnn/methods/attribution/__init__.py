"""What the score of a class, or a unit, owes to each pixel of a picture."""

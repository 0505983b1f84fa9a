"""What a layer keeps of a picture: the inversion of Mahendran and Vedaldi."""

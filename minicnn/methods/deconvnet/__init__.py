"""What in a picture excites a unit: the deconvnet of Zeiler and Fergus."""

"""The content of one picture in the style of another: Gatys, Ecker and Bethge."""

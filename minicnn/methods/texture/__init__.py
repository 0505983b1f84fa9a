"""More of a texture: Gatys, Ecker and Bethge."""

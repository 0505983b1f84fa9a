"""How features come about, snapshot by snapshot."""

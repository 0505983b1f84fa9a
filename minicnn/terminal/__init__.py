"""How a verb reads its options and speaks: the parser, reports, progress."""

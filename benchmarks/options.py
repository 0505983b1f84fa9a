"""The commands' parser of options."""

import argparse


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; its help keeps the lines of the description."""

    def __init__(self, **options):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}\n")

"""The one error of the test site."""


class SiteError(Exception):
    """What went wrong, as one sentence for a person; the command line prints it and nothing else."""

    def __init__(self, sentence: str, exit_code: int = 1) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
        """1: the site or the machine is not as it should be. 2: the call itself was wrong."""

"""Lance data sets as a source."""

from typing import Annotated, Literal

import fsspec

from pairmill.schemas.config import SPEED
from pairmill.sources.base import Input, NoInput
from pairmill.sources.files import Listing, below
from pairmill.sources.table_config import TableConfig
from pairmill.sources.tables import TableSource


class LanceConfig(TableConfig):
    """Lance data sets, with or without image bytes; needs `pairmill[lance]`."""

    type: Annotated[Literal["lance"], SPEED] = "lance"


class LanceSource(TableSource):
    """Each path is the folder of one data set, of which the newest version is read."""

    Config = LanceConfig

    def listing(self) -> Listing:
        if self._listing is None:
            path = self.config.path
            paths = [path] if isinstance(path, str) else path
            self._listing = Listing([dataset_input(one) for one in paths])
        return self._listing

    def inputs(self) -> list[Input]:
        """The files of which the data sets consist."""
        found = []
        for item in self.listing().files:
            system, root = fsspec.core.url_to_fs(item.url)
            found += list(below(system, root, root.rpartition("/")[0]))
        return found


def dataset_input(path: str) -> Input:
    """The folder of a Lance data set as one input; raises NoInput where it is no folder."""
    system, root = fsspec.core.url_to_fs(path)
    if not system.isdir(root):
        raise NoInput(f"{path} is no folder of a Lance data set")
    root = root.rstrip("/")
    return Input(root.rpartition("/")[2], system.unstrip_protocol(root), 0, "")

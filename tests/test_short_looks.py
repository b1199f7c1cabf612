"""Sources of many small files that are not looked at whole: what was stored when their headers
counted as rows is not taken for what they hold.
"""

from pathlib import Path

from pairmill.sources.tables import PairsConfig, TableSource
from pairmill.workspace.fingerprints import table_id
from pairmill.workspace.storage import Storage


def source(folder: Path, whole_bytes: int) -> TableSource:
    found = TableSource(PairsConfig(path=str(folder / "in")))
    found.whole_bytes = whole_bytes
    return found


def test_only_tables_of_short_files_that_were_not_looked_at_whole_have_another_identity(
    tmp_path: Path,
) -> None:
    (tmp_path / "in").mkdir()
    storage = Storage(str(tmp_path))
    file = tmp_path / "in/a.csv"
    file.write_text("url,text,n\n" + "http://a.test/1.jpg,t,1\n" * 20)
    ids = [table_id(storage, source(tmp_path, whole)) for whole in (2**20, 0)]
    assert ids[0] != ids[1]
    file.write_text("url,text,n\n" + "http://a.test/1.jpg,t,1\n" * 20_000)
    ids = [table_id(storage, source(tmp_path, whole)) for whole in (2**20, 0)]
    assert ids[0] == ids[1]

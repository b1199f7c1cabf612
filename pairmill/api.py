"""pairmill from Python: `Pipeline.from_yaml(path).run()`.

What runs a pipeline is imported where it is used: checking a file needs a fraction of it.
"""

import dataclasses
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from pairmill.errors import PairmillError, PipelineFileError, Problem, first_line
from pairmill.pipeline.forked import check_process
from pairmill.pipeline.run_log import RunLog, silence_libraries
from pairmill.pipeline.started import Started, reopened, variables_of
from pairmill.pipeline.watcher import Watcher
from pairmill.pipeline.whereabouts import is_ray_there, wanted_processes, whereabouts
from pairmill.plan.document import Document
from pairmill.plan.load import Loaded, load_pipeline
from pairmill.plan.plan import Plan, make_plan
from pairmill.plan.planned import with_places
from pairmill.safe_output import SafeConsole
from pairmill.schemas.config import StageConfig
from pairmill.schemas.pipeline import (
    OutputConfig,
    PipelineConfig,
    ReportConfig,
    SourceConfig,
    SourcesConfig,
)

if TYPE_CHECKING:
    from pairmill.fates.run_table import Run
    from pairmill.pipeline.estimated_cost import Cost
    from pairmill.pipeline.run import RunOutcome
    from pairmill.run_result import RunResult

__all__ = ["Pipeline", "silence_libraries"]

Fault = tuple[tuple[str | int, ...], str]
"""A key of the pipeline file, and what is wrong with it."""


@dataclass
class Pipeline:
    """A checked pipeline, ready to be planned and run."""

    config: PipelineConfig
    checked: Plan
    text: str
    import_paths: list[str] = field(default_factory=list)
    document: Document | None = None
    """The file, for the places of faults that are found later."""
    base: str = ""
    """Folder that relative paths of data mean."""
    home: str = ""
    """Folder of the files that the pipeline names."""

    @classmethod
    def from_yaml(
        cls,
        path: str | Path,
        overrides: Mapping[str, str] | None = None,
        base: str | Path | None = None,
    ) -> "Pipeline":
        """Reads and checks a pipeline file; raises PipelineFileError with all its faults.

        `base`: the folder that relative paths of data (source, workspace, outputs) mean, if not the
        file's own.
        """
        home = str(Path(path).absolute().parent)
        return cls._of(load_pipeline(path, overrides, base), str(base or home), home)

    @classmethod
    def from_run(cls, folder: str | Path) -> tuple["Pipeline", int | None]:
        """The pipeline of a run's folder (workspace/runs/NAME-DIGEST), and the run's `limit`.

        Raises RunError where the folder does not tell it, or the run has stages of one's own: a
        folder loads no code.
        """
        loaded, started = reopened(str(folder))
        return cls._of(loaded, started.base, started.home), started.limit

    @classmethod
    def _of(cls, loaded: Loaded, base: str, home: str) -> "Pipeline":
        plan = make_plan(loaded.config, loaded.document.problem, loaded.secrets.redact_data)
        if plan is None or loaded.document.problems:
            raise PipelineFileError(loaded.document.problems)
        found = cls(loaded.config, plan, loaded.text, document=loaded.document)
        found.base, found.home = str(Path(base).absolute()), home
        return found

    @classmethod
    def build(
        cls,
        *,
        name: str,
        source: SourceConfig | Mapping[str, SourceConfig],
        stages: Sequence[StageConfig] = (),
        outputs: Sequence[OutputConfig] = (),
        workspace: str = "workspace",
        seed: int = 0,
        report: ReportConfig | None = None,
    ) -> "Pipeline":
        """A pipeline from config objects, several sources by name; raises PipelineFileError with
        all its faults.
        """
        config = PipelineConfig(
            name=name,
            source=source if isinstance(source, SourceConfig) else SourcesConfig.of(source),
            stages=list(stages),
            outputs=list(outputs),
            workspace=workspace,
            seed=seed,
            report=report or ReportConfig(),
        )
        problems: list[Problem] = []
        plan = make_plan(
            config,
            lambda path, message: problems.append(
                Problem(0, 0, f"{'.'.join(map(str, path))}: {message}")
            ),
        )
        if plan is None:
            raise PipelineFileError(problems)
        return cls(
            config, plan, json.dumps(config.model_dump(mode="json"), indent=2) + "\n", [os.getcwd()]
        )

    def examine(self) -> list[str]:
        """Looks at what stages will load (models, processors, packages) and where files will go;
        says what it found.

        Raises PipelineFileError with what would fail then.  It takes seconds; nothing is run.
        """
        lines: list[str] = []
        faults = self._places(everywhere=True)
        for path, stage in with_places(self.checked.stages):
            try:
                lines += [f"stage {stage.name}: {line}" for line in stage.stage.examine()]
            except PairmillError as error:
                faults.append(((*path, "model"), str(error)))
        self._raise_at_keys(faults)
        return lines

    def check_places(self) -> None:
        """Raises PipelineFileError where the workspace or an output cannot be written to, at the
        key that names it.
        """
        self._raise_at_keys(self._places(everywhere=False))

    def _places(self, everywhere: bool) -> list[Fault]:
        """Places that cannot be written to; with `everywhere`, by no user of any machine."""
        from pairmill.pipeline.preflight import place_obstacles

        found = (o for o in place_obstacles(self.checked) if not (everywhere and o.elsewhere))
        return [(o.key, f"{o.key[-1]}: {o.what}") for o in found]

    def obstacles(self) -> list[str]:
        """What would stop a run that began now, here or on the Ray that RAY_ADDRESS names: places
        that cannot be written to, GPUs and memory that are not there.  Starts nothing.
        """
        from pairmill.pipeline.preflight import obstacles

        return [o.what for o in obstacles(self.checked, os.environ.get("RAY_ADDRESS") or None)]

    def _raise_at_keys(self, faults: Sequence[Fault]) -> None:
        """Raises PipelineFileError with faults at the keys that they are about, if there are
        any.
        """
        if not faults:
            return
        if self.document is None:
            raise PipelineFileError([Problem(0, 0, what) for _, what in faults])
        document = dataclasses.replace(self.document, problems=[])
        for key, what in faults:
            document.problem(key, what)
        raise PipelineFileError(document.problems)

    def plan(self, limit: int | None = None) -> dict[str, Any]:
        """The plan as plain data: stages, phases, identities, stored and missing rows, resources.
        Starts nothing.  A notebook shows it as `pairmill plan` does.
        """
        from pairmill.pipeline.overview import overview
        from pairmill.terminal.plan_view import ShownPlan

        return ShownPlan(overview(self.checked, limit))

    def estimate(self, rows: int = 200, limit: int | None = None) -> "Cost":
        """What the run has yet to cost, by a drawn sample of rows that goes through the stages
        here; its values are stored, so that nothing is computed twice.
        """
        from pairmill.pipeline.run import Runner
        from pairmill.pipeline.sampling import estimate

        runner = Runner(self.checked, self.text, Watcher(), [], limit, local=True, processes=0)
        try:
            return estimate(self.checked, rows, limit, runner.table)
        finally:
            runner.engine.close()

    def _repr_html_(self) -> str:
        from pairmill.terminal.plan_view import ShownPlan

        return ShownPlan(self.plan())._repr_html_()

    def replaces(self, limit: int | None = None) -> list[str]:
        """The packages that `run` would write over though other settings made them, a line each."""
        from pairmill.pipeline.replacing import replaced_packages

        return replaced_packages(self.checked, self.text, limit)

    def stored(self, limit: int | None = None, rows: str | None = None) -> "Run":
        """The rows as the workspace has them now, before, between and after runs; starts nothing.
        `rows`: name of an `each` block, for its elements.

        Raises RunError where no run has read the source yet, or come to the block.
        """
        from pairmill.pipeline.overview import stored_run

        return stored_run(self.checked, limit, rows)

    def run(
        self,
        *,
        limit: int | None = None,
        retry: Sequence[str] = (),
        progress: bool = True,
        console: Console | None = None,
        local: bool = False,
        ray: bool = False,
        processes: int | None = None,
        write_report: bool = True,
        replace: bool = False,
    ) -> "RunResult":
        """Computes what is missing, writes packages and report; raises RunError, keeping what was
        committed.

        It works on this machine, in `processes` worker processes, as many as cores if None (or
        PAIRMILL_PROCESSES says), in this process alone with 0, for a debugger.  It works on Ray
        with `ray`, and, without `local`, where RAY_ADDRESS names one or the caller has started it.
        Without `write_report` (or with `report: none`) there is no page.  A package that other
        settings made is written over with `replace` alone, else WouldReplace is raised.
        """
        check_process()
        from pairmill.pipeline.run import Runner
        from pairmill.run_result import result_of
        from pairmill.terminal.display import LiveWatcher

        console = console or SafeConsole(stderr=True)
        local = not (ray or (not local and is_ray_there()))
        processes = wanted_processes() if processes is None else processes
        watcher = LiveWatcher(console) if progress else Watcher()
        how = (limit, tuple(retry), local, replace, processes)
        runner = Runner(self.checked, self.text, watcher, [*self.import_paths], *how)
        if progress:
            console.print(Text(whereabouts(local, processes)), soft_wrap=True)
        if isinstance(watcher, LiveWatcher):
            watcher.watch(runner.engine)
        log = RunLog()
        started = Started(self.base, self.home, limit, variables_of(self.document))
        try:
            outcome = runner.run(started.noted_before(log.open) if self.base else log.open)
            begun = time.monotonic()
            report, fault = self._report(outcome) if write_report else ("", "")
            outcome.seconds["report"] = round(time.monotonic() - begun, 3)
        except Exception:
            if (
                log.handler is not None
            ):  # else it failed before there was a folder, and the exception says it all
                logging.getLogger("pairmill").exception("the run failed")
            raise
        finally:
            log.close()
        return result_of(outcome, report, fault)

    def _report(self, outcome: "RunOutcome") -> tuple[str, str]:
        """The page's path, and what was wrong, if anything: the packages stand, and a fault of the
        report takes nothing from them.
        """
        if not self.config.report.write:
            return "", ""
        try:
            from pairmill.report.page import write_report

            return write_report(self.checked, outcome, outcome.chain), ""
        except Exception as error:
            logging.getLogger("pairmill").exception("the report could not be written")
            told = f"{type(error).__name__}: {first_line(error)}"
            return "", (
                f"the report could not be written: {told}; the packages stand, and the same "
                "command writes it (log.jsonl has more)"
            )

"""What Ray is asked for when a pipeline is submitted."""

from pathlib import Path

from pairmill.cluster.jobs import JobRequest


def test_packages_that_a_job_names_are_installed_for_it_alone(tmp_path: Path) -> None:
    """What Ray is asked for; whether it does so takes minutes where it copies a large virtual
    environment first.
    """
    request = JobRequest(tmp_path / "p.yaml", pip_install=("timm==1.0.9", "shouting"))
    asked = request.runtime_env(tmp_path)
    assert asked["pip"] == {"packages": ["timm==1.0.9", "shouting"], "pip_check": False}
    assert "pip" not in JobRequest(tmp_path / "p.yaml").runtime_env(tmp_path)

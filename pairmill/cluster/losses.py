"""What Ray raises where work was lost and is to be done again."""

from typing import Any


def is_lost_worker(error: Exception) -> bool:
    """Whether a call has ended because its process or node did.  An actor that cannot be built is
    no loss, nor is what a worker met when it asked for something itself.
    """
    from ray import exceptions

    if isinstance(error, exceptions.RayTaskError):
        return False
    if isinstance(error, exceptions.RayActorError):
        return not error.actor_init_failed
    lost: Any = (
        exceptions.WorkerCrashedError,
        exceptions.NodeDiedError,
        exceptions.LocalRayletDiedError,
        exceptions.OutOfMemoryError,
    )
    return isinstance(error, lost)


def is_lost_block(error: Exception) -> bool:
    """Whether a call could not begin because the block that it was to get is gone."""
    from ray import exceptions

    return isinstance(error, exceptions.ObjectLostError)

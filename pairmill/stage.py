"""What authors of stages need, and all of it: `from pairmill.stage import …`.

A stage is a config (`StageConfig`, its keys documented; marks say what a key is), `reads`, `writes`
(one `column` each), perhaps `setup`, and the call.  docs/own-stages.md shows how.
"""

from pairmill.errors import RowError, StageBroken
from pairmill.images import DecodeError, decode_rgb
from pairmill.schemas.arrow import ERROR, ORDER, column, error_array
from pairmill.schemas.config import COLUMN, FILE, MODEL, PATH, SPEED, TEMPLATE, StageConfig
from pairmill.schemas.hashing import row_chance
from pairmill.stages.asynchronous import AsyncStage
from pairmill.stages.base import GlobalStage, Stage
from pairmill.stages.checking import ContractError, check_stage
from pairmill.stages.decoding import Decoded, decoded
from pairmill.stages.pretrained import ModelConfig, pretrained
from pairmill.torch_device import Device, Precision, limit_threads, pick_device, pick_dtype

__all__ = [
    "COLUMN",
    "ERROR",
    "FILE",
    "MODEL",
    "ORDER",
    "PATH",
    "SPEED",
    "TEMPLATE",
    "AsyncStage",
    "ContractError",
    "DecodeError",
    "Decoded",
    "Device",
    "GlobalStage",
    "ModelConfig",
    "Precision",
    "RowError",
    "Stage",
    "StageBroken",
    "StageConfig",
    "check_stage",
    "column",
    "decode_rgb",
    "decoded",
    "error_array",
    "limit_threads",
    "pick_device",
    "pick_dtype",
    "pretrained",
    "row_chance",
]

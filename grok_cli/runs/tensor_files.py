"""Files of tensors: written with a checksum, and read without running code or trusting a size.

A file is what `torch.save` writes, a zip archive of uncompressed records, and opens with
`torch.load` anywhere. Its archive comment, the last bytes of the file, is the SHA-256 of all bytes
before it: "sha256:" and 64 hexadecimal digits. Files without one, of earlier versions, are checked
by the CRC-32 of their records instead.
"""

import hashlib
import io
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grok_cli.errors import GrokError
from grok_cli.runs.files import write_bytes

MARK = b"sha256:"
COMMENT_BYTES = len(MARK) + 64
MOST_BYTES = 2**34  # of a file: more than any model that `Config` allows


class CheckpointError(GrokError):
    """A file that cannot be used as a snapshot or resume state; the message says why."""


def save_tensors(path: Path, content: object) -> None:
    """Write tensors and plain values, with a checksum, atomically.

    Raises:
        OSError: the file cannot be written. (The archive is made in memory, since PyTorch's own
            writer raises something else on a full disk.)
    """
    archive = io.BytesIO()
    torch.save(content, archive)
    # The last two bytes of a zip archive are the length of the comment that follows.
    unsigned = archive.getvalue()[:-2] + COMMENT_BYTES.to_bytes(2, "little")
    write_bytes(path, unsigned + MARK + hashlib.sha256(unsigned).hexdigest().encode())


def load_tensors(path: Path) -> Any:
    """What `save_tensors` or `torch.save` wrote: tensors and plain values only.

    Raises:
        CheckpointError: no such file, truncated, changed, holding code, or larger in memory than
            on the disk.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    if path.stat().st_size > MOST_BYTES:
        raise CheckpointError(f"{path}: larger than {MOST_BYTES / 2**30:.0f} GiB; refused")
    content = path.read_bytes()
    problem = _damage(content)
    if problem is None:
        try:
            loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            problem = "damaged, or holds objects other than tensors, which could run code; refused"
        except Exception:  # whatever PyTorch makes of a file that is none of its own
            problem = "damaged, or not a PyTorch file"
        else:
            if all(_is_plain(tensor) for tensor in _tensors(loaded)):
                return loaded
            problem = "claims tensors that are larger than what it holds; refused"
    raise CheckpointError(f"{path}: {problem}")


def _damage(content: bytes) -> str | None:
    """What is wrong with an archive's bytes; None if nothing is."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return "truncated, or not a PyTorch file"
    unsigned, comment = content[:-COMMENT_BYTES], content[-COMMENT_BYTES:]
    digest = hashlib.sha256(unsigned).hexdigest().encode()
    if comment.startswith(MARK) and comment != MARK + digest:
        return "damaged: its checksum is not that of its content"
    try:  # a checksum is no proof of origin, so that sizes are looked at all the same
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            records = archive.infolist()
            if any(record.compress_type != zipfile.ZIP_STORED for record in records):
                return "holds compressed records, which PyTorch never writes; refused"
            if sum(record.file_size for record in records) > len(content):
                return "claims more than it holds; refused"
            return "damaged: a record's checksum is not its own" if archive.testzip() else None
    except Exception:  # whatever zipfile makes of damaged headers
        return "damaged, or not a PyTorch file"


def _tensors(content: Any) -> Iterator[Tensor]:
    """The tensors in a value, which may be nested to any depth and contain itself."""
    waiting, seen = [content], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Mapping | list | tuple | set) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values() if isinstance(value, Mapping) else value)


def _is_plain(tensor: Tensor) -> bool:
    """Whether all entries of a tensor lie in its memory, one each."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()

"""A downloaded archive unpacked: only plain files and folders, all of them inside the folder they were meant for."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath, PureWindowsPath


def unpack(archive: Path | str, folder: Path | str) -> None:
    """Writes the files of a .tar below a folder, which is made if needed; files that are there are replaced.

    ValueError before anything is written where the archive is torn, or holds a link, a device, or a name that leads elsewhere;
    and where a link inside the folder would lead a file out of it. Owners and rights are not taken over.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        with tarfile.open(archive, "r:") as opened:
            members = opened.getmembers()
            for member in members:
                if why := _unfit(member):
                    raise ValueError(
                        f"{archive} was not unpacked: it holds {member.name!r}, {why}, but plain files below the folder are the rule; "
                        "get it from its source again, and if it is the same, do not use it"
                    )
            folder.mkdir(parents=True, exist_ok=True)
            for member in members:
                _write(opened, member, folder)
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(
            f"{archive} is no whole .tar archive ({' '.join(str(error).split())}); delete it and get it again"
        ) from error


def _unfit(member: tarfile.TarInfo) -> str:
    """What is wrong with a member of an archive; "" if nothing is. Names are looked at as both systems read them."""
    if not (member.isreg() or member.isdir()):
        return "which is a link" if member.islnk() or member.issym() else "which is no file"
    windows = PureWindowsPath(member.name)
    if PurePosixPath(member.name).is_absolute() or windows.drive or windows.root:
        return "an absolute name"
    return "a name that leads upwards" if ".." in windows.parts else ""


def _write(opened: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    target = folder / member.name
    if not target.resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f"{target} leads to {target.resolve()}, outside of {folder}; remove the link there, or choose another folder"
        )
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened.extractfile(member) as source, open(target, "wb") as file:
        shutil.copyfileobj(source, file)

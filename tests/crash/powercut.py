"""Power cuts without a device mapper: a small ext4 on a loop device whose image is opened with direct I/O. What the
program has not synced is still in the page cache, so a copy of the image is the disk as a cut leaves it."""

import pathlib
import subprocess


def sh(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


class PowerCut:
    def __init__(self, folder: pathlib.Path, mib: int = 256):
        self.folder = folder
        self.image = folder / "disk.img"
        self.mounted: list[tuple[pathlib.Path, str]] = []
        with open(self.image, "wb") as file:
            file.truncate(mib << 20)
        sh("mkfs.ext4", "-q", "-F", str(self.image))
        self.live = self._mount(self.image, folder / "live")

    def _mount(self, image: pathlib.Path, at: pathlib.Path) -> pathlib.Path:
        at.mkdir()
        device = sh("losetup", "--find", "--show", "--direct-io=on", str(image))
        sh("mount", device, str(at))
        self.mounted.append((at, device))
        return at

    def take(self, name: str) -> pathlib.Path:
        """The disk as it is now, mounted elsewhere (its journal is replayed); the next cut is taken from that one."""
        copy = self.folder / f"{name}.img"
        sh("cp", "--sparse=always", str(self.image), str(copy))
        self.image = copy
        self.live = self._mount(copy, self.folder / name)
        return self.live

    def end(self) -> None:
        for at, device in reversed(self.mounted):
            subprocess.run(["umount", "-l", str(at)], capture_output=True)
            subprocess.run(["losetup", "-d", device], capture_output=True)

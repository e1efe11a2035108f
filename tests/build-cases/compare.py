"""Builds each case with `docker build` (BuildKit) or `buildah bud`, and compares tree, config and history with what is written down."""
import hashlib, io, json, re, subprocess, sys, tarfile
from pathlib import Path

KEYS = ["User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "Shell",
        "Healthcheck", "OnBuild"]
# What the reference writes differently without another meaning.
HISTORY_MARK = " # buildkit"
# Attributes that cannot be compared: `docker save` writes none of users, and BuildKit's transfer of a context loses capabilities (it sets
# attributes before the owner, and chown(2) removes them).
ATTRIBUTE = re.compile(r" (?:user\.[^ =]*|security\.capability)=[0-9a-f]*")


# Differences that are the peer's: what it does otherwise, and why stack does not.
EXPLAINED = {
    "buildkit": {
        "ignore-deep": "20.10 skips a hidden directory although `!a/**/f` matches below it; newer ones go in (images.md I10)",
    },
    "buildah": {
        "arg-env": "1.28 lets ENV win over a later ARG; in BuildKit the later one counts",
        "arg-order": "1.28 lets ENV win over a later ARG; in BuildKit the later one counts",
        "copy-modes": "1.28 drops setuid and setgid of what is copied; BuildKit keeps them",
        "env-quotes": "1.28 expands what stands behind quotes otherwise; BuildKit does as stack",
        "expose-ranges": "1.28 keeps a range as text, which runtimes do not read; BuildKit lists its ports",
        "ignore-deep": "1.28 skips a hidden directory although `!a/**/f` matches below it (images.md I10)",
        "shell": "1.28 forgets SHELL when it makes CMD; BuildKit uses it",
        "volume-kept": "1.28 drops what RUN writes into a volume, as the legacy builder; BuildKit keeps it",
        "volume": "1.28 makes directories for volumes with blanks; BuildKit leaves that to the runtime",
    },
}


class Buildkit:
    name = "buildkit"
    # Mount points that older BuildKits leave in the layer of a RUN; current ones remove them, as stack does.
    stubs = {"dir 0755 0:0 /" + name for name in ("dev", "proc", "sys", "c", "t", "src")} | {"file 0755 0:0 0 e3b0c442 /in"}

    def start(self):
        pass

    def build(self, tag, arguments, context):
        # The host's network is that of the namespace: loopback only.
        return ["docker", "build", "-q", "--network", "host", "-t", tag, *arguments, context]

    def save(self, name):
        return subprocess.run(["docker", "save", name], check=True, capture_output=True).stdout


class Buildah:
    name = "buildah"
    # Mount points that it leaves in the image.
    stubs = {"dir 0755 0:0 /" + name for name in ("dev", "proc", "sys", "run", "run/secrets", "c", "t", "src")} | {
        f"file 0755 0:0 0 e3b0c442 /{name}" for name in ("etc/hostname", "etc/hosts", "etc/resolv.conf", "in")}

    def call(self, *arguments):
        return ["buildah", "--root", str(scratch / "root"), "--runroot", str(scratch / "run"), "--storage-driver", "vfs", *arguments]

    def start(self):
        archive = f"docker-archive:{contexts / 'busybox.tar'}"
        subprocess.run(self.call("pull", "-q", archive), check=True, capture_output=True)

    def build(self, tag, arguments, context):
        options = ["--isolation", "chroot", "--format", "docker", "--network", "host", "--pull-never", "-q", "-t", tag]
        return self.call("bud", *options, *arguments, context)

    def save(self, name):
        file = scratch / "saved.tar"
        file.unlink(missing_ok=True)
        name = "localhost/" + name if "/" not in name else name
        subprocess.run(self.call("push", "-q", name, f"docker-archive:{file}"), check=True, capture_output=True)
        return file.read_bytes()


def saved(name):
    """Returns config and layers of an image."""
    data = peer.save(name)
    archive = tarfile.open(fileobj=io.BytesIO(data))
    manifest = json.load(archive.extractfile("manifest.json"))[0]
    config = json.load(archive.extractfile(manifest["Config"]))
    return config, [archive.extractfile(layer).read() for layer in manifest["Layers"]]


def tree(layers):
    """Merges layers as overlayfs does."""
    merged = {}
    for layer in layers:
        archive = tarfile.open(fileobj=io.BytesIO(layer))
        mine, hidden = {}, []
        for entry in archive:
            path = entry.name.strip("/").removeprefix("./")
            if path in ("", "."):
                continue
            parent, _, base = path.rpartition("/")
            if base == ".wh..wh..opq":
                hidden.append(parent + "/")
            elif base.startswith(".wh."):
                gone = (parent + "/" if parent else "") + base[4:]
                hidden += [gone, gone + "/"]
            else:
                content = archive.extractfile(entry).read() if entry.isfile() and not entry.islnk() else b""
                mine[path] = (entry, content)
                if not entry.isdir():
                    hidden.append(path + "/")
        for path in list(merged):
            if any(path == gone or (gone.endswith("/") and path.startswith(gone)) for gone in hidden):
                del merged[path]
        for path, (entry, content) in mine.items():
            if entry.islnk():
                target = entry.linkname.strip("/").removeprefix("./")
                merged[path] = ("same", target)
            else:
                merged[path] = (entry, content)
    # The first name of a file is the file, as a sorted walk meets it.
    names = {}
    for path, value in merged.items():
        key = value[1] if value[0] == "same" else path
        names.setdefault(key, []).append(path)
    lines = {}
    for real, paths in names.items():
        entry, content = merged[real]
        paths.sort(key=lambda path: path.split("/"))
        for number, path in enumerate(paths):
            owner = f"{entry.mode & 0o7777:04o} {entry.uid}:{entry.gid}"
            if number:
                what = f"same {paths[0]}"
            elif entry.isdir():
                what = f"dir {owner}"
            elif entry.issym():
                what = f"link {entry.uid}:{entry.gid} -> {entry.linkname}"
            else:
                what = f"file {owner} {len(content)} {hashlib.sha256(content).hexdigest()[:8]}"
            if not number:
                marks = {key.removeprefix("SCHILY.xattr."): value for key, value in entry.pax_headers.items()
                         if key.startswith("SCHILY.xattr.")}
                # Attribute values are bytes; tarfile decodes them as it does names.
                what += "".join(f" {key}={marks[key].encode('utf-8', 'surrogateescape').hex()}" for key in sorted(marks))
            lines[path] = what
    return lines


def plain(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def describe(name, base):
    config, layers = saved(name)
    lines = tree(layers)
    below = base if config["rootfs"]["diff_ids"][:1] == BASE_DIFF_IDS else {}
    out = [f"{what} /{path}" for path, what in lines.items() if below.get(path) != what]
    out += [f"removed /{path}" for path in below if path not in lines]
    for key in KEYS:
        value = config.get("config", {}).get(key)
        if key == "Labels" and value:
            # buildah signs its images.
            value.pop("io.buildah.version", None)
        if value and not (key == "WorkingDir" and value == "/"):
            out.append(f"config {key} {plain(value)}")
    if config.get("author"):
        out.append(f"author {config['author']}")
    for line in config["history"]:
        kind = "empty" if line.get("empty_layer") else "layer"
        created_by = line.get("created_by", "")
        if created_by != "busybox":
            out.append(f"history {kind} {plain(created_by)}")
    return out


def normal(lines):
    """What is compared: JSON in one form, history without the reference's mark."""
    result = []
    for line in lines:
        if line.startswith("config "):
            _, key, value = line.split(" ", 2)
            line = f"config {key} {plain(json.loads(value))}"
        elif line.startswith("history "):
            _, kind, value = line.split(" ", 2)
            line = f"history {kind} {plain(json.loads(value).removesuffix(HISTORY_MARK))}"
        elif line.startswith(("file", "dir")):
            line = ATTRIBUTE.sub("", line)
        result.append(line)
    return sorted(result)


peer = Buildah() if sys.argv[1] == "buildah" else Buildkit()
cases, contexts, scratch = (Path(argument) for argument in sys.argv[2:5])
wanted = sys.argv[5:]
peer.start()
base_config, base_layers = saved("busybox")
BASE_DIFF_IDS = base_config["rootfs"]["diff_ids"]
base = tree(base_layers)
counts = {"equal": 0, "explained": 0, "different": 0, "skipped": 0}
for path in sorted(cases.glob("*.txt")):
    name = path.stem
    if wanted and name not in wanted:
        continue
    source, _, expected = path.read_text().partition("-- expect --\n")
    arguments = []
    build = source.partition("-- build --\n")[2]
    for line in build.splitlines():
        key, _, value = line.partition(": ")
        if key == "target":
            arguments += ["--target", value]
        else:
            flag = {"args": "--build-arg", "labels": "--label"}[key]
            for pair in value.strip("{} ").split(","):
                left, _, right = pair.partition(":")
                arguments += [flag, f"{left.strip()}={right.strip().strip(chr(34))}"]
    command = peer.build(f"case-{name}", arguments, str(contexts / name))
    try:
        built = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        counts["skipped"] += 1
        print(f"skipped {name}: it takes longer than a minute")
        continue
    if built.returncode:
        counts["skipped"] += 1
        print(f"skipped {name}: {(built.stderr.strip().splitlines() or ['?'])[-1][:160]}")
        continue
    ours, theirs = normal(expected.splitlines()), normal(describe(f"case-{name}", base))
    theirs = [line for line in theirs if line not in peer.stubs or line in ours]
    # Words of history changed between releases of BuildKit: they are shown, but only trees and configs count.
    if [line for line in ours if not line.startswith("history")] == [
        line for line in theirs if not line.startswith("history")
    ]:
        counts["equal"] += 1
        # buildah has words of its own for all of history.
        for line in sorted(set(ours) ^ set(theirs)) if peer.name == "buildkit" else []:
            print(f"words {name}:", "stack" if line in ours else peer.name, line)
        continue
    if ours == theirs:
        counts["equal"] += 1
        continue
    why = EXPLAINED[peer.name].get(name)
    if why:
        counts["explained"] += 1
        print(f"explained {name}: {why}")
        continue
    counts["different"] += 1
    print(f"different {name}")
    for line in sorted(set(ours) ^ set(theirs)):
        if line.startswith("history") and peer.name == "buildah":
            continue
        print("   stack" if line in ours else f"   {peer.name}", line)
print(counts)
sys.exit(counts["different"] > 0)

"""Builds each case with `docker build` (BuildKit) and compares tree, config and history with what is written down."""
import hashlib, io, json, re, subprocess, sys, tarfile
from pathlib import Path

KEYS = ["User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "Shell",
        "Healthcheck", "OnBuild"]
# What the reference writes differently without another meaning.
HISTORY_MARK = " # buildkit"
# Attributes that cannot be compared: `docker save` writes none of users, and BuildKit's transfer of a context loses capabilities (it sets
# attributes before the owner, and chown(2) removes them).
ATTRIBUTE = re.compile(r" (?:user\.[^ =]*|security\.capability)=[0-9a-f]*")
# Mount points that older BuildKits leave in the layer of a RUN; current ones remove them, as stack does.
STUBS = {"dir 0755 0:0 /" + name for name in ("dev", "proc", "sys", "c", "t", "src")} | {"file 0755 0:0 0 e3b0c442 /in"}


def saved(name):
    """Returns config and layers of an image."""
    data = subprocess.run(["docker", "save", name], check=True, capture_output=True).stdout
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


cases, contexts, scratch = (Path(argument) for argument in sys.argv[1:4])
wanted = sys.argv[4:]
_, base_layers = saved("busybox")
base_config, _ = saved("busybox")
BASE_DIFF_IDS = base_config["rootfs"]["diff_ids"]
base = tree(base_layers)
counts = {"equal": 0, "different": 0, "skipped": 0}
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
    # The host's network is that of the namespace: loopback only.
    command = ["docker", "build", "-q", "--network", "host", "-t", f"case-{name}", *arguments, str(contexts / name)]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode:
        counts["skipped"] += 1
        print(f"skipped {name}: {built.stderr.strip().splitlines()[-1][:160]}")
        continue
    ours, theirs = normal(expected.splitlines()), normal(describe(f"case-{name}", base))
    theirs = [line for line in theirs if line not in STUBS or line in ours]
    # Words of history changed between releases of BuildKit: they are shown, but only trees and configs count.
    if [line for line in ours if not line.startswith("history")] == [
        line for line in theirs if not line.startswith("history")
    ]:
        counts["equal"] += 1
        for line in sorted(set(ours) ^ set(theirs)):
            print(f"words {name}:", "stack   " if line in ours else "buildkit", line)
        continue
    if ours == theirs:
        counts["equal"] += 1
        continue
    counts["different"] += 1
    print(f"different {name}")
    for line in sorted(set(ours) ^ set(theirs)):
        print("   stack   " if line in ours else "   buildkit", line)
print(counts)
sys.exit(counts["different"] > 0)

"""What `pull` and `load` share: fresh disks, the tools that are compared, the floor, and an image large enough to time."""
import glob, gzip, hashlib, io, json, os, resource, shutil, signal, statistics, subprocess, sys, tarfile, tempfile, time, urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
WORK = os.environ.get("WORK", "/var/cache/stack-testbed")
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ACCEPT = ",".join((*INDEXES, MANIFEST, "application/vnd.docker.distribution.manifest.v2+json"))
# The parts of the large image: about 180 MB compressed, ten layers.
LARGE = "bench/large:1"
# The same files in a single layer: what a core a layer means on any machine.
SINGLE = "bench/single:1"
PARTS = ("library/postgres:15", "library/python:3.11-slim", "library/nginx:latest", "library/redis:7")


def run(*command, env=None):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **(env or {})})
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}")
    return done.stdout


class Disk:
    """An empty ext4 in a file: ext4 reuses the inodes of a tree that was just removed slowly, so every run gets its own."""

    def __init__(self, bytes_=6 << 30):
        self.directory = tempfile.mkdtemp(prefix="stack-bench-")
        image, self.path = self.directory + "/disk", self.directory + "/mnt"
        with open(image, "wb") as file:
            file.truncate(bytes_)
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
        os.mkdir(self.path)
        run("mount", "-o", "loop", image, self.path)

    def close(self):
        for _ in range(50):
            if subprocess.run(["umount", "-R", self.path], stderr=subprocess.DEVNULL).returncode == 0:
                break
            time.sleep(0.1)
        shutil.rmtree(self.directory, ignore_errors=True)


class Registry:
    """The testbed's registry on a port of its own."""

    def __init__(self, port):
        self.env = {"REGISTRY_PORT": port}
        run(TREE + "/tests/testbed/registry", "start", env=self.env)
        self.host = "127.0.0.1:" + port

    def stop(self):
        run(TREE + "/tests/testbed/registry", "stop", env=self.env)

    def ask(self, path, method="GET", data=None, **headers):
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        request = urllib.request.Request(f"http://{self.host}/v2/{path}", method=method, data=data, headers=headers)
        return urllib.request.urlopen(request, timeout=60)

    def manifest(self, image):
        name, tag = image.rsplit(":", 1)
        document = json.load(self.ask(f"{name}/manifests/{tag}", Accept=ACCEPT))
        if "manifests" in document:
            digest = next(m["digest"] for m in document["manifests"] if m.get("platform", {}).get("architecture") == "amd64")
            document = json.load(self.ask(f"{name}/manifests/{digest}", Accept=ACCEPT))
        return document

    def layers(self, image):
        """Files and sizes of an image's compressed layers."""
        blobs = WORK + "/registry/docker/registry/v2/blobs/sha256"
        found = {l["digest"]: l["size"] for l in self.manifest(image)["layers"]}
        return {f"{blobs}/{d[7:9]}/{d[7:]}/data": size for d, size in found.items()}

    def addresses(self, image):
        """Where an image's compressed layers are had."""
        name = image.rsplit(":", 1)[0]
        return [f"http://{self.host}/v2/{name}/blobs/{l['digest']}" for l in self.manifest(image)["layers"]]

    def processor_seconds(self):
        with open(WORK + f"/registry-{self.env['REGISTRY_PORT']}.pid") as file, open(f"/proc/{file.read().strip()}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def make_large(self):
        """Puts the layers of several images under one manifest."""
        repository, tag = LARGE.split(":")
        layers, diff_ids = [], []
        for part in PARTS:
            name, manifest = part.split(":")[0], self.manifest(part)
            config = json.load(self.ask(f"{name}/blobs/{manifest['config']['digest']}"))
            for layer, diff_id in zip(manifest["layers"], config["rootfs"]["diff_ids"]):
                if diff_id not in diff_ids:
                    layers.append(layer)
                    diff_ids.append(diff_id)
                    self.ask(f"{repository}/blobs/uploads/?mount={layer['digest']}&from={name}", "POST", b"").close()
        return self.put_image(LARGE, layers, diff_ids)

    def make_single(self):
        """Puts the files of the large image into one layer, each name once."""
        plain, sum_, names = io.BytesIO(), hashlib.sha256(), set()
        for path in self.layers(self.make_large()):
            with gzip.open(path) as file:
                layer = file.read()
            with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
                members = archive.getmembers()
                ends = [member.offset for member in members[1:]] + [archive.offset]
                for member, end in zip(members, ends):
                    name = os.path.normpath(member.name)
                    if name not in names:
                        names.add(name)
                        plain.write(layer[member.offset:end])
        plain.write(bytes(1024))
        sum_.update(plain.getbuffer())
        packed = subprocess.run(["pigz", "-6n"], input=plain.getbuffer(), stdout=subprocess.PIPE, check=True).stdout
        repository = SINGLE.split(":")[0]
        layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": len(packed), "digest": self.put_blob(repository, packed)}
        return self.put_image(SINGLE, [layer], ["sha256:" + sum_.hexdigest()])

    def put_blob(self, repository, content):
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        place = self.ask(f"{repository}/blobs/uploads/", "POST", b"").headers["Location"]
        place = place.removeprefix(f"http://{self.host}/v2/").removeprefix("/v2/")
        self.ask(f"{place}&digest={digest}", "PUT", content, Content_Type="application/octet-stream").close()
        return digest

    def put_image(self, image, layers, diff_ids):
        repository, tag = image.split(":")
        config = json.dumps({"os": "linux", "architecture": "amd64", "config": {"Cmd": ["sh"]},
                             "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
        digest = self.put_blob(repository, config)
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
                    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(config)}}
        self.ask(f"{repository}/manifests/{tag}", "PUT", json.dumps(manifest).encode(), Content_Type=MANIFEST).close()
        return image


def timed(*command):
    """Seconds by the clock of a command."""
    began = time.monotonic()
    run(*command)
    return time.monotonic() - began


def peak_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next((int(line.split()[1]) for line in status if line.startswith("VmHWM")), 0)


class Stack:
    name = "stack"

    def __init__(self, program):
        self.program, self.peaks, self.again, self.written = program, [], [], []

    def work(self, disk, *arguments):
        """One command with a supervisor that is there already, as it is in everyday use; then the same once more."""
        root = disk.path + "/root"
        supervisor = subprocess.Popen([self.program, "supervisor", "--root", root, "--ready-fd", "1"], stdout=subprocess.PIPE)
        supervisor.stdout.read(1)
        command = [self.program, "--root", root, "--progress", "quiet", *arguments]
        began = time.monotonic()
        took = timed(*command)
        self.used = None
        if supervisor.poll() is None:
            with open(f"/proc/{supervisor.pid}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            self.used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            self.peaks.append(peak_kib(supervisor.pid))
            self.again.append(timed(*command))
        # Nobody waits for the disk but us. A supervisor that has nothing to do writes, and leaves.
        while glob.glob(root + "/unsynced/*/*") and time.monotonic() - began < 60:
            time.sleep(0.005)
        self.written.append(time.monotonic() - began)
        supervisor.send_signal(signal.SIGTERM)
        supervisor.wait()
        return took

    def pull(self, registry, image, disk):
        return self.work(disk, "image", "pull", f"{registry.host}/{image}")

    def load(self, archive, disk):
        return self.work(disk, "image", "load", "-i", archive)


class Podman:
    name, program = "podman", "podman"

    def work(self, disk, *arguments):
        return timed("podman", "--root", disk.path + "/root", "--runroot", disk.path + "/run", "--cgroup-manager", "cgroupfs",
                     "--events-backend", "none", *arguments)

    def pull(self, registry, image, disk):
        return self.work(disk, "pull", "-q", "--tls-verify=false", f"{registry.host}/{image}")

    def load(self, archive, disk):
        return self.work(disk, "load", "-q", "-i", archive)


class Docker:
    name, program = "docker", "dockerd"

    def work(self, disk, insecure, *arguments):
        socket = f"unix://{disk.path}/docker.sock"
        daemon = subprocess.Popen(
            ["dockerd", "--data-root", disk.path + "/root", "--exec-root", disk.path + "/exec", "-H", socket, "--pidfile", disk.path + "/pid",
             "--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false", *insecure],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(300):
                if subprocess.run(["docker", "-H", socket, "version"], capture_output=True).returncode == 0:
                    break
                time.sleep(0.1)
            return timed("docker", "-H", socket, *arguments)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()

    def pull(self, registry, image, disk):
        return self.work(disk, ["--insecure-registry", registry.host], "pull", "-q", f"{registry.host}/{image}")

    def load(self, archive, disk):
        return self.work(disk, [], "load", "-q", "-i", archive)


class Floor:
    """`layer_floor`: files out of the page cache; `inflate` does nothing else, `unpack` also hashes and writes. `fetch` inflates what it
    has of the registry, whose own share of the processors every pull has to bear."""

    def __init__(self, mode, files):
        self.name, self.mode, self.files = mode, mode, list(files)

    def work(self, disk):
        target = [disk.path] if self.mode == "unpack" else []
        return self.measure(*target, *self.files)

    def measure(self, *arguments):
        return float(run(TREE + "/target/release/examples/layer_floor", self.mode, *arguments).split()[0])

    def pull(self, registry, image, disk):
        if self.mode == "fetch":
            return self.measure(*registry.addresses(image))
        return self.work(disk)

    def load(self, _archive, disk):
        return self.work(disk)


def peers(wanted):
    return [tool for tool in (Podman(), Docker()) if tool.name in wanted.split(",") and shutil.which(tool.program)]


def processor_seconds():
    """Of all programs that were run and waited for, and of those that they waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare(title, rounds, tools, work, registry=None):
    """Lets the tools take turns, so that ratios hold on a busy machine; prints medians. `+` is what the registry used meanwhile, on the same
    processors."""
    times, used, served = ({tool.name: [] for tool in tools} for _ in range(3))
    for _ in range(rounds):
        for tool in tools:
            disk = Disk()
            before, serving = processor_seconds(), registry.processor_seconds() if registry else 0
            try:
                times[tool.name].append(work(tool, disk))
                served[tool.name].append(registry.processor_seconds() - serving if registry else 0)
                # Of ours without the second command.
                own = getattr(tool, "used", None)
                used[tool.name].append(processor_seconds() - before if own is None else own)
            finally:
                disk.close()
    median = {name: statistics.median(values) for name, values in times.items()}
    print(f"\n{title}, {rounds} rounds, load {os.getloadavg()[0]:.1f}")
    for name, value in median.items():
        cpu, own = statistics.median(used[name]), statistics.median(used["stack"])
        print(f"  {name:8} {value:7.3f} s  best {min(times[name]):7.3f} s  {value / median['stack']:5.2f} x stack"
              f"  processors {cpu:6.2f} s  {cpu / own:5.2f} x stack  + {statistics.median(served[name]):4.2f} s")
    stack = tools[0]
    if stack.written:
        print(f"  stack has it on the disk after {statistics.median(stack.written):.3f} s; the peers do not sync")
    if stack.peaks:
        print(f"  supervisor's peak memory {max(stack.peaks) / 1024:.1f} MiB (aim: at most 64)")
    return stack

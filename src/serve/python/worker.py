"""One Python model, loaded once and forked into worker processes; started by serve/python_workers.cc, never by hand.

The keeper (this process) loads the model, then forks a worker for each seat that the server asks for: a worker is ready
within milliseconds and shares the model's memory. It never runs predict() itself, so it stays answerable. A model whose
loading starts threads cannot be forked; then each worker is a process that loads it anew ("spawn").

Descriptors: 3 is the keeper's control socket (JSON lines, and each worker's sockets by SCM_RIGHTS), 4 is this file.
A worker serves frames on its sockets, one thread each (docs/formats/python-worker.md). When a socket ends, so does it.

Needs the standard library and numpy; mlflow and pandas are imported only where the model needs them.
"""

import array
import ctypes
import functools
import importlib.util
import inspect
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import threading
import traceback

CONTROL = 3
SOURCE = 4
MAX_FRAME = 256 << 20
MAX_ERROR = 16 << 10
SHAPES = [struct.Struct("<%dq" % rank) for rank in range(65)]  # numpy's most dimensions; the server sends fewer
HEAD = struct.Struct("<QHHI")  # bytes behind the head, kind, tensors, bytes of JSON
TENSOR = struct.Struct("<BBHIQ")  # type, rank, bytes of the name, 0, bytes of the data
PREDICT, ANSWER, REFUSED, FAILED, HELLO = 1, 2, 3, 4, 5
TYPES = ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64", "BYTES"]
BYTES = TYPES.index("BYTES")
DTYPES = ["?", "u1", "<u2", "<u4", "<u8", "i1", "<i2", "<i4", "<i8", "<f2", None, "<f4", "<f8"]


def die_with_parent(parent):
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(0)


def tell_trouble(error):
    """The last lines of a traceback, the error itself at the end."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return text if len(text) <= MAX_ERROR else "…" + text[-MAX_ERROR:]


# --- tensors -----------------------------------------------------------------------------------------------------------


@functools.cache
def np():
    import numpy

    return numpy


@functools.cache
def dtypes():
    return [np().dtype(name) if name else None for name in DTYPES]


@functools.cache
def kinds():
    return {dtype: kind for kind, dtype in enumerate(dtypes()) if dtype is not None}


def pad(size):
    return -size % 8


def read_exactly(sock, size):
    data = bytearray(size)
    view, got = memoryview(data), 0
    while got < size:
        n = sock.recv_into(view[got:])
        if n == 0:
            return None
        got += n
    return data


def read_frame(sock, room):
    """(JSON text, {name: array}) or None at the end. `room` is where small frames arrive; the arrays are their own."""
    got = sock.recv_into(room)
    while 0 < got < HEAD.size:
        more = sock.recv_into(memoryview(room)[got:])
        if not more:
            return None
        got += more
    if not got:
        return None
    size, _, tensors, text_size = HEAD.unpack_from(room)
    if size > MAX_FRAME:
        raise ValueError("a frame of %d bytes" % size)
    data = room[:got]
    missing = HEAD.size + size - got
    if missing > 0:
        rest = read_exactly(sock, missing)
        if rest is None:
            return None
        data += rest
    at = HEAD.size
    text = bytes(data[at : at + text_size]) if text_size else None
    at += text_size + pad(text_size)
    heads = []
    for _ in range(tensors):
        kind, rank, name_size, _, data_size = TENSOR.unpack_from(data, at)
        at += TENSOR.size
        shape = SHAPES[rank].unpack_from(data, at)
        at += 8 * rank
        heads.append((data[at : at + name_size].decode(), kind, shape, data_size))
        at += name_size + pad(name_size)
    arrays = {}
    for name, kind, shape, data_size in heads:
        arrays[name] = decode(data, at, kind, shape, data_size)
        at += data_size + pad(data_size)
    return text, arrays


def decode(data, at, kind, shape, size):
    numpy = np()
    if kind == BYTES:
        texts, end = [], at + size
        while at < end:
            (n,) = struct.unpack_from("<I", data, at)
            raw = bytes(data[at + 4 : at + 4 + n])
            try:
                texts.append(raw.decode())
            except UnicodeDecodeError:
                texts.append(raw)
            at += 4 + n
        out = numpy.empty(len(texts), dtype=object)
        out[:] = texts
        return out.reshape(shape)
    if TYPES[kind] == "BF16":  # numpy has no such type
        wide = numpy.frombuffer(data, "<u2", size // 2, at).astype("<u4") << 16
        return wide.view("<f4").reshape(shape)
    dtype = dtypes()[kind]
    return numpy.frombuffer(data, dtype, size // dtype.itemsize, at).reshape(shape)


def encode(name, value):
    """(head, data) of one array."""
    raw_name = name.encode()
    kind = kinds().get(value.dtype)
    if kind is None and value.dtype.kind in "biuf":  # of the other byte order, or a long double
        value = value.astype(value.dtype.newbyteorder("<") if value.dtype.itemsize <= 8 else "<f8")
        kind = kinds()[value.dtype]
    if kind is not None:
        data = value.tobytes()
    else:
        kind, pieces = BYTES, []
        for cell in value.ravel():
            raw = cell if isinstance(cell, bytes) else text_of(cell).encode("utf-8", "surrogatepass")
            pieces.append(struct.pack("<I", len(raw)))
            pieces.append(raw)
        data = b"".join(pieces)
    head = TENSOR.pack(kind, value.ndim, len(raw_name), 0, len(data)) + SHAPES[value.ndim].pack(*value.shape)
    return head + raw_name + b"\0" * pad(len(raw_name)), data


TYPE_OF = {"b1": 0, "u1": 1, "u2": 2, "u4": 3, "u8": 4, "i1": 5, "i2": 6, "i4": 7, "i8": 8, "f2": 9, "f4": 11, "f8": 12}


def text_of(cell):
    if isinstance(cell, str):
        return cell
    return json.dumps(plain(cell))


def write_frame(sock, kind, text=b"", tensors=()):
    heads, datas = [], []
    for name, value in tensors:
        head, data = encode(name, value)
        heads.append(head)
        datas.append(data)
        if len(data) % 8:
            datas.append(b"\0" * pad(len(data)))
    body = b"".join([text, b"\0" * pad(len(text)), *heads, *datas])
    if len(body) > MAX_FRAME:
        return write_frame(sock, FAILED, b"the model's answer has %d bytes; allowed are %d" % (len(body), MAX_FRAME))
    sock.sendall(HEAD.pack(len(body), kind, len(heads), len(text)) + body)


# --- what predict() answers --------------------------------------------------------------------------------------------


def plain(value):
    """As JSON has it, the way MLflow's own server writes predictions: a frame is a list of records."""
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    numpy = np()
    if isinstance(value, numpy.ndarray):
        return plain(value.tolist()) if value.dtype == object else value.tolist()
    if isinstance(value, numpy.generic):
        return value.item()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(v) for v in value]
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # DataFrame
        return [plain(row) for row in value.to_dict(orient="records")]
    if hasattr(value, "to_frame"):  # Series
        return plain(value.to_frame())
    if hasattr(value, "toarray"):  # scipy's sparse matrices
        return value.toarray().tolist()
    if hasattr(value, "model_dump"):  # pydantic
        return plain(value.model_dump())
    return str(value)


def dense(value):
    """An array of numbers or texts, or None where there is none that says the same."""
    numpy = np()
    if hasattr(value, "toarray"):
        value = value.toarray()
    if isinstance(value, numpy.ndarray):
        out = value
    elif isinstance(value, (list, tuple)) and value and not isinstance(value[0], (dict, set)):
        try:
            out = numpy.asarray(value)
        except ValueError:  # of unequal lengths
            return None
    elif isinstance(value, (numpy.generic, int, float, bool, str)):
        out = numpy.asarray([value])
    elif hasattr(value, "to_numpy"):  # a column
        out = value.to_numpy()
    else:
        return None
    if out.dtype.kind in "biufSU":
        return out
    if out.dtype.kind == "O" and out.size and all(isinstance(cell, (str, bytes)) for cell in out.ravel()):
        return out
    return None


def read_answer(value, names):
    """([(name, array)], JSON text): the text only where the arrays do not say all."""
    numpy = np()
    if type(value) is numpy.ndarray and value.dtype.kind in "biuf":  # the usual case
        return [(names[0] if names else "output-0", value)], b""
    if hasattr(value, "columns") and hasattr(value, "to_dict"):
        columns = [(str(name), dense(value[name])) for name in value.columns]
        if columns and all(array is not None for _, array in columns):
            return columns, json.dumps(plain(value)).encode()
    elif isinstance(value, dict) and value:
        columns = [(str(name), dense(cell)) for name, cell in value.items()]
        if all(array is not None for _, array in columns):
            return columns, json.dumps(plain(value)).encode()
    else:
        array = dense(value)
        if array is not None:
            return [(names[0] if names else "output-0", array)], b""
    shown = plain(value)
    rows = shown if isinstance(shown, list) else [shown]
    out = numpy.empty(len(rows), dtype=object)
    out[:] = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    return [(names[0] if names else "output-0", out)], json.dumps(shown).encode()


# --- models ------------------------------------------------------------------------------------------------------------


def tensor(name, datatype, shape):
    return {"name": name, "datatype": datatype, "shape": list(shape)}


class PlainModel:
    """model.py with `class Model`: load(self, context) and predict(self, data)."""

    platform = "python"

    def __init__(self, folder):
        spec = importlib.util.spec_from_file_location("model", os.path.join(folder, "model.py"))
        module = importlib.util.module_from_spec(spec)
        sys.modules["model"] = module
        spec.loader.exec_module(module)
        made = getattr(module, "Model", None)
        if made is None:
            raise AttributeError("model.py has no class Model")
        self.model = made()
        if not callable(getattr(self.model, "predict", None)):
            raise AttributeError("class Model of model.py has no method predict(self, data)")
        if hasattr(self.model, "load"):
            self.model.load(Context(folder))
        self.inputs = self.declared("inputs") or [tensor("input-0", "FP64", [-1, -1])]
        self.outputs = self.declared("outputs")
        self.one = len(self.inputs) == 1
        self.takes_params = "params" in inspect.signature(self.model.predict).parameters
        self.classes = [str(c) for c in getattr(self.model, "classes", [])]
        self.settings = dict(getattr(self.model, "serving", None) or {})
        self.concurrency = int(self.settings.get("concurrency", 1))

    def declared(self, what):
        out = []
        for entry in getattr(self.model, what, None) or []:
            if entry.get("datatype") not in TYPES or not isinstance(entry.get("shape"), (list, tuple)) or not entry.get("name"):
                raise ValueError("Model.%s: each is {'name', 'datatype', 'shape'} in the words of the Open Inference Protocol, found %r" % (what, entry))
            out.append(tensor(entry["name"], entry["datatype"], entry["shape"]))
        return out

    def predict(self, arrays, params):
        data = next(iter(arrays.values())) if self.one else arrays
        return self.model.predict(data, params=params) if params and self.takes_params else self.model.predict(data)


class Context:
    """What load() gets: where the model's files are."""

    def __init__(self, folder):
        self.model_dir = folder

    def path(self, name):
        return os.path.join(self.model_dir, name)


COLUMN_TYPES = {"boolean": "BOOL", "integer": "INT32", "long": "INT64", "float": "FP32", "double": "FP64"}
COLUMN_DTYPES = {"boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64"}


class MlflowModel:
    """Any model that MLflow can load as python_function."""

    platform = "mlflow_pyfunc"

    def __init__(self, folder):
        import mlflow.pyfunc

        self.model = mlflow.pyfunc.load_model(folder)
        self.schema = self.model.metadata.get_input_schema()
        metadata = self.model.metadata.metadata or {}
        self.settings = dict(metadata.get("lathe.serving") or {})
        self.concurrency = int(self.settings.get("concurrency", 1))
        try:
            raw = self.model.get_raw_model()
        except Exception:  # noqa: BLE001 - many flavours have none
            raw = None
        self.classes = [str(c) for c in getattr(raw, "classes_", [])] if self.is_list(getattr(raw, "classes_", None)) else []
        self.columns = None
        self.inputs = self.read_inputs(raw)
        self.outputs = self.read_outputs()

    @staticmethod
    def is_list(value):
        return value is not None and not isinstance(value, str) and hasattr(value, "__len__") and getattr(value, "ndim", 1) == 1

    def read_inputs(self, raw):
        schema = self.schema
        if schema is None:
            names = getattr(raw, "feature_names_in_", None)
            if names is not None:
                self.columns = [(str(name), "double") for name in names]
                return [tensor(str(name), "FP64", [-1]) for name in names]
            return [tensor("input-0", "FP64", [-1, int(getattr(raw, "n_features_in_", -1))])]
        if schema.is_tensor_spec():
            return [self.tensor_spec(spec, "input-%d" % i) for i, spec in enumerate(schema.inputs)]
        kinds = [self.kind(spec.type) for spec in schema.inputs]
        if schema.has_input_names():
            self.columns = list(zip(schema.input_names(), kinds))
            return [tensor(str(name), COLUMN_TYPES.get(kind, "BYTES"), [-1]) for name, kind in self.columns]
        if len(set(kinds)) == 1 and kinds[0] in COLUMN_TYPES:
            return [tensor("input-0", COLUMN_TYPES[kinds[0]], [-1, len(kinds)])]
        return [tensor("input-0", "BYTES", [-1] if len(kinds) == 1 else [-1, len(kinds)])]

    @staticmethod
    def kind(column):
        return getattr(column, "name", "") or str(column)

    @staticmethod
    def tensor_spec(spec, fallback):
        letter = spec.type.newbyteorder("<").str.lstrip("<|=")
        name = TYPES[TYPE_OF[letter]] if letter in TYPE_OF else "BYTES"
        return tensor(spec.name or fallback, name, spec.shape)

    def read_outputs(self):
        schema = self.model.metadata.get_output_schema()
        if schema is None:
            return []
        if schema.is_tensor_spec():
            return [self.tensor_spec(spec, "output-%d" % i) for i, spec in enumerate(schema.inputs)]
        out = []
        for i, spec in enumerate(schema.inputs):
            out.append(tensor(str(spec.name if spec.name is not None else "output-%d" % i), COLUMN_TYPES.get(self.kind(spec.type), "BYTES"), [-1]))
        return out

    def predict(self, arrays, params):
        data = self.frame(arrays) if self.columns is not None else self.values(arrays)
        return self.model.predict(data, params=params) if params else self.model.predict(data)

    def values(self, arrays):
        if self.schema is not None and not self.schema.is_tensor_spec():  # columns without names
            import pandas

            return pandas.DataFrame(next(iter(arrays.values())).reshape(-1, len(self.schema.inputs)))
        if len(arrays) == 1 and (self.schema is None or not self.schema.has_input_names()):
            return next(iter(arrays.values()))
        return arrays

    def frame(self, arrays):
        import pandas

        columns = {}
        for name, kind in self.columns:
            cells = arrays[name].reshape(-1)
            if kind in COLUMN_DTYPES:
                columns[name] = cells.astype(COLUMN_DTYPES[kind], copy=False)
            elif kind == "datetime":
                columns[name] = pandas.to_datetime([cell or None for cell in cells])
            elif kind in ("string",):
                columns[name] = cells
            elif kind == "binary":
                columns[name] = [cell.encode() if isinstance(cell, str) else cell for cell in cells]
            else:  # arrays, objects and maps travel as JSON
                columns[name] = [json.loads(cell) if cell else None for cell in cells]
        return pandas.DataFrame(columns)

    def example(self):
        return self.model.input_example


class BentoModel:
    """A class with @bentoml.service: service.py, or a Bento (bento.yaml beside src/). Each of its APIs takes and gives
    JSON; of one that is batchable each element of its argument is a row, so that the server's batches are its batches."""

    platform = "bentoml"
    classes = []

    def __init__(self, folder):
        from _bentoml_sdk.service import Service

        module, name = "service", None
        if os.path.exists(os.path.join(folder, "bento.yaml")):
            sys.path.insert(0, os.path.join(folder, "src"))
            with open(os.path.join(folder, "bento.yaml")) as file:
                said = next((line.split(":", 1)[1].strip().strip("'\"") for line in file if line.startswith("service:")), "service")
            module, _, name = said.partition(":")
            module = module.removesuffix(".py").replace("/", ".")
        found = {k: v for k, v in vars(importlib.import_module(module)).items() if isinstance(v, Service)}
        needed = {id(d.on) for s in found.values() for d in s.dependencies.values()}
        heads = {k: v for k, v in found.items() if v.name == name or k == name} if name else {k: v for k, v in found.items() if id(v) not in needed}
        if len(heads) != 1:
            raise AttributeError("%s.py must have one class with @bentoml.service%s, found %s" % (module, " called " + name if name else "", ", ".join(found) or "none"))
        self.service = next(iter(heads.values()))
        self.instance = self.service()
        self.inputs = self.outputs = [tensor("body", "BYTES", [-1])]
        config = self.service.config
        self.concurrency = int(config.get("threads") or 1)
        self.settings = {"concurrency": self.concurrency}
        if isinstance(config.get("workers"), int):
            self.settings["max_workers"] = config["workers"]
        if config.get("traffic", {}).get("timeout"):
            self.settings["timeout_ms"] = int(config["traffic"]["timeout"] * 1000)
        sizes = [method.max_batch_size for method in self.service.apis.values() if method.batchable]
        if sizes:
            self.settings["batch"] = {"max_rows": min(sizes)}
        self.schema = self.service.schema()

    def predict(self, arrays, params):
        if not params or params.get("api") not in self.service.apis:
            raise ValueError("a service is asked at its own routes: " + ", ".join(m.route for m in self.service.apis.values()))
        name, texts = params["api"], arrays["body"].reshape(-1)
        method = self.service.apis[name]
        if "rows" in params:
            answers = list(plain(self.call(name, method, {params["rows"]: [json.loads(text) for text in texts]})))
            if len(answers) != len(texts):
                raise ValueError("%s() is batchable and answered %d rows for %d" % (name, len(answers), len(texts)))
        else:
            answers = [plain(self.call(name, method, json.loads(text))) for text in texts]
        out = np().empty(len(answers), dtype=object)
        out[:] = [json.dumps(answer) for answer in answers]
        return out

    def call(self, name, method, given):
        from _bentoml_sdk.io_models import ARGS, KWARGS

        data = method.input_spec(**given)
        params = {key: getattr(data, key) for key in type(data).model_fields}
        args = tuple(params.pop(ARGS, ()))
        params.update(params.pop(KWARGS, {}))
        if method.ctx_param is not None:
            params[method.ctx_param] = self.service.context
        value = getattr(self.instance, name)(*args, **params)
        if inspect.isawaitable(value):
            import asyncio

            value = asyncio.run(value)
        if method.is_stream:
            raise TypeError("%s() answers a stream; streams are not served" % name)
        return value


def load(folder):
    sys.path.insert(0, folder)
    there = lambda name: os.path.exists(os.path.join(folder, name))
    if there("MLmodel"):
        return MlflowModel(folder)
    if not there("model.py") and (there("service.py") or there("bento.yaml")):
        return BentoModel(folder)
    return PlainModel(folder)


def zeros(inputs):
    numpy = np()
    out = {}
    for entry in inputs:
        shape = [1 if d < 0 else d for d in entry["shape"]]
        kind = TYPES.index(entry["datatype"])
        out[entry["name"]] = numpy.full(shape, "", dtype=object) if kind == BYTES else numpy.zeros(shape, DTYPES[kind] or "<f4")
    return out


def describe(model):
    """What the server has to know; a model that does not say what it answers is asked once."""
    if not model.outputs:
        try:
            example = model.example() if hasattr(model, "example") else None
            value = model.predict(zeros(model.inputs), None) if example is None else model.model.predict(example)
            tensors, _ = read_answer(value, [])
            model.outputs = [
                tensor(name, TYPES[TYPE_OF.get(a.dtype.newbyteorder("<").str.lstrip("<|="), BYTES)], [-1, *a.shape[1:]]) for name, a in tensors
            ]
        except Exception as error:  # noqa: BLE001 - zeros may be no input that it takes
            print("the model did not answer to one row of zeros, so its outputs are not known: %r" % error, file=sys.stderr)
            model.outputs = [tensor("output-0", "FP64", [-1])]
    return json.dumps({
        "platform": model.platform,
        "python": sys.version.split()[0],
        "inputs": model.inputs,
        "outputs": model.outputs,
        "classes": model.classes,
        "settings": model.settings,
        "service": json.dumps(model.schema) if isinstance(model, BentoModel) else "",
        "has_example": hasattr(model, "example") and model.example() is not None,
    }).encode()


# --- workers -----------------------------------------------------------------------------------------------------------


def answer(model, names, sock, frame):
    text, arrays = frame
    params = json.loads(text) if text else None
    try:
        value = model.predict(arrays, params)
        tensors, shown = read_answer(value, names)
    except MemoryError as error:
        return write_frame(sock, FAILED, tell_trouble(error).encode("utf-8", "replace"))
    except Exception as error:  # noqa: BLE001 - it is the model's, and the request's sender is told
        traceback.print_exc()
        return write_frame(sock, REFUSED, ("%s: %s" % (type(error).__name__, error))[:4096].encode("utf-8", "replace"))
    write_frame(sock, ANSWER, shown, tensors)


def serve(model, names, sock):
    room = bytearray(65536)
    try:
        while (frame := read_frame(sock, room)) is not None:
            answer(model, names, sock, frame)
    except OSError:
        pass
    except BaseException:  # noqa: BLE001 - SystemExit and KeyboardInterrupt in predict(), or a frame we cannot read
        traceback.print_exc()
        os._exit(70)
    os._exit(0)


def data_bytes():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


def work(model, sockets, memory, otherwise):
    """The life of a worker process. `memory` is the server's word on its limit; 0: the model's, else `otherwise`."""
    os.setpgid(0, 0)
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    try:
        if isinstance(model, str):
            model = load(model)
        memory = memory or int(model.settings.get("memory_mb", 0)) << 20 or otherwise
        if memory:
            limit = data_bytes() + memory
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        hello = describe(model)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the server says it
        for sock in sockets:
            write_frame(sock, FAILED, tell_trouble(error).encode("utf-8", "replace"))
        os._exit(71)
    names = [entry["name"] for entry in model.outputs]
    write_frame(sockets[0], HELLO, hello)
    for sock in sockets[1:]:
        threading.Thread(target=serve, args=(model, names, sock), daemon=True).start()
    serve(model, names, sockets[0])


class Keeper:
    def __init__(self, folder, memory):
        self.folder, self.memory = folder, memory
        self.control = socket.socket(fileno=CONTROL)
        self.model = None
        self.children = {}
        self.wake_r, self.wake_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self.wake_w, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def tell(self, **what):
        try:
            self.control.sendall(json.dumps(what).encode() + b"\n")
        except OSError:  # the server has let go of us
            self.end()

    def run(self):
        try:
            self.model = load(self.folder)
        except BaseException as error:  # noqa: BLE001 - SystemExit at import too
            self.tell(failed=tell_trouble(error))
            os._exit(71)
        alone = len(os.listdir("/proc/self/task")) == 1
        if not alone:
            self.model = None
        self.tell(loaded=True, forks=alone, concurrency=getattr(self.model, "concurrency", 1))
        while True:
            ready, _, _ = select.select([self.control, self.wake_r], [], [], 5)
            if self.wake_r in ready:
                os.read(self.wake_r, 4096)
            self.reap()
            if self.control in ready and not self.obey():
                break
        self.end()

    def end(self):
        for pid in list(self.children):
            self.kill(pid)
        os._exit(0)

    def obey(self):
        data, ancillary, _, _ = self.control.recvmsg(4096, socket.CMSG_SPACE(64 * 4), socket.MSG_CMSG_CLOEXEC)
        if not data:
            return False
        fds = array.array("i")
        for level, kind, raw in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(raw[: len(raw) - len(raw) % fds.itemsize])
        sockets = [socket.socket(fileno=fd) for fd in fds]
        order = json.loads(data)  # one a message
        if "start" in order:
            self.start(order["start"], sockets, order["memory"])
        elif "kill" in order:
            self.kill(order["kill"])
        for sock in sockets:
            sock.close()
        return True

    def start(self, number, sockets, memory):
        keeper = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                die_with_parent(keeper)
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                self.control.close()
                os.close(self.wake_r)
                os.close(self.wake_w)
                if self.model is None:  # loading starts threads: a fresh interpreter loads it anew
                    for sock in sockets:
                        os.set_inheritable(sock.fileno(), True)
                    os.set_inheritable(SOURCE, True)
                    fds = ",".join(str(sock.fileno()) for sock in sockets)
                    os.execv(sys.executable, [sys.executable, "-c", BOOT, "worker", self.folder, str(self.memory), fds, str(memory)])
                work(self.model, sockets, memory, self.memory)
            except BaseException:  # noqa: BLE001 - nothing of a worker may run on as a second keeper
                traceback.print_exc()
            finally:
                os._exit(72)
        self.children[pid] = number
        self.tell(started=number, pid=pid)

    def kill(self, pid):
        if pid not in self.children:
            return
        for target in (-pid, pid):  # its group; itself, if it has not made one yet
            try:
                os.kill(target, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def reap(self):
        while self.children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self.children.pop(pid, None)
            try:
                os.kill(-pid, signal.SIGKILL)  # what it left behind in its group
            except (ProcessLookupError, PermissionError):
                pass
            if number is None:
                continue
            code = os.waitstatus_to_exitcode(status)
            how = "exit code %d" % code if code >= 0 else "signal %d (%s)" % (-code, signal.strsignal(-code))
            self.tell(ended=number, how=how)


BOOT = "import os;exec(compile(os.pread(4,1<<20,0),'lathe_worker.py','exec'))"


def main():
    role, folder, memory = sys.argv[1], sys.argv[2], int(sys.argv[3])
    fds, own = (sys.argv[4].split(","), int(sys.argv[5])) if role == "worker" else ([], 0)
    sys.argv = ["model"]
    if sys.path and sys.path[0] == "":
        sys.path.pop(0)
    if role == "keeper":
        die_with_parent(int(os.environ.pop("LATHE_PARENT")))
        Keeper(folder, memory).run()
    else:
        sockets = [socket.socket(fileno=int(fd)) for fd in fds]
        for sock in sockets:
            sock.set_inheritable(False)
        work(folder, sockets, own, memory)


main()

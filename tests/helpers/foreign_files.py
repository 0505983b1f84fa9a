"""Writers of foreign weight files, for the readers to read: {layer: (weight, bias)} to a path.

Weights come as (K, C, R, S) and (out, in); every writer stores them as its framework would.
"""

import io
import json
import struct
import zipfile

import h5py
import numpy as np

# --- Caffe and ONNX: protobuf's wire format


def varint(value):
    out = bytearray()
    while True:
        value, low = value >> 7, value & 127
        out.append(low | (128 if value else 0))
        if not value:
            return bytes(out)


def field(number, value):
    """A field: a number, text or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else bytes(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def blob(array, *, packed=True, legacy=False, doubles=False):
    number, dtype, wire = (8, "<f8", 1) if doubles else (5, "<f4", 5)
    raw = np.ascontiguousarray(array, dtype).tobytes()
    size = np.dtype(dtype).itemsize
    if packed:
        data = field(number, raw)
    else:
        key = varint(number << 3 | wire)
        data = b"".join(key + raw[i : i + size] for i in range(0, len(raw), size))
    if legacy:
        sizes = (1,) * (4 - array.ndim) + array.shape
        return b"".join(field(i, int(n)) for i, n in enumerate(sizes, start=1)) + data
    dims = field(1, b"".join(varint(n) for n in array.shape))
    return field(7, dims) + data


def caffemodel(path, layers, *, version=2, **options):
    """V2 layers, V1 ones or V0 ones (a layer in a V1 layer)."""
    out = field(1, "net")
    for name, arrays in layers.items():
        blobs = [
            blob(array, legacy=version < 2, **options) for array in arrays if array is not None
        ]
        dense = arrays[0].ndim == 2
        if version == 2:
            body = field(1, name) + field(2, "InnerProduct" if dense else "Convolution")
            body += b"".join(field(7, b) for b in blobs)
        elif version == 1:
            body = field(2, "data") + field(4, name) + field(5, 14 if dense else 4)
            body += b"".join(field(6, b) for b in blobs)
        else:
            inner = field(1, name) + field(2, "innerproduct" if dense else "conv")
            body = field(1, inner + b"".join(field(50, b) for b in blobs))
        out += field(100 if version == 2 else 2, body)
    path.write_bytes(out)


def onnx(path, arrays, *, packed=True):
    """The constants of a graph; packed ones stand as they are in memory, others one by one."""
    out = field(1, 8) + field(2, "tf2onnx")
    graph = field(2, "net")
    for name, array in arrays.items():
        kind, number = {"<f4": (1, 4), "<f2": (10, 9), "<f8": (11, 10), "<i8": (7, 9)}[
            array.dtype.str
        ]
        dims = b"".join(field(1, int(n)) for n in array.shape)
        raw = np.ascontiguousarray(array).tobytes()
        data = field(9 if packed else number, raw)
        graph += field(5, dims + field(2, kind) + field(8, name) + data)
    path.write_bytes(out + field(7, graph))


def caffe_h5(path, layers):
    with h5py.File(path, "w") as file:
        for name, arrays in layers.items():
            for i, array in enumerate(arrays):
                file[f"data/{name}/{i}"] = array
        file.create_group("diff")


# --- Keras


def hwio(weight):
    return weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T


def channels_last(layers, maps):
    """Return the layers with matrices whose rows run over H, W, C of the maps before them."""
    found = {}
    for name, (weight, bias) in layers.items():
        if name in maps:
            full = weight.reshape(-1, *maps[name]).transpose(0, 2, 3, 1)
            weight = full.reshape(weight.shape)
        found[name] = [weight, bias]
    return found


def keras2(path, layers, *, root="", old=False, scope="{}"):
    """`save_weights` of Keras 2, a whole model under "model_weights", or Keras Applications.

    Variables of the second model of a process have another `scope` than the layer's name.
    """
    with h5py.File(path, "w") as file:
        group = file.create_group(root) if root else file
        group.attrs["layer_names"] = [name.encode() for name in layers]
        if not old:
            group.attrs["keras_version"] = b"2.2.4"
        for name, (weight, bias) in layers.items():
            own = group.create_group(name)
            names = [f"{name}_W_1:0", f"{name}_b_1:0"]
            if not old:
                names = [f"{scope.format(name)}/kernel:0", f"{scope.format(name)}/bias:0"]
            own.attrs["weight_names"] = [n.encode() for n in names]
            own[names[0]], own[names[1]] = hwio(weight), bias
        if root:
            file["optimizer_weights/iteration:0"] = 3


def keras_theano(path, layers, version, turned):
    """Keras 0 or 1 with maps C, H, W: kernels (K, C, R, S), `turned` by 180 degrees on Theano."""
    with h5py.File(path, "w") as file:
        if version:
            file.attrs["layer_names"] = [name.encode() for name in layers]
        else:
            file.attrs["nb_layers"] = 2 * len(layers)
        for name, (weight, bias) in layers.items():
            full = weight.T if weight.ndim == 2 else weight[:, :, ::-1, ::-1] if turned else weight
            names = [f"{name}_W", f"{name}_b"] if version else ["param_0", "param_1"]
            own = file.create_group(name)
            own.attrs["weight_names"] = [n.encode() for n in names]
            own[names[0]], own[names[1]] = full, bias


def keras3(target, layers, *, named=True):
    """`save_weights` of Keras 3; layers stand there by type and number."""
    counts = {}
    with h5py.File(target, "w") as file:
        file.create_group("vars")
        for name, (weight, bias) in layers.items():
            kind = "conv2d" if weight.ndim == 4 else "dense"
            number = counts[kind] = counts.get(kind, -1) + 1
            own = file.create_group(f"layers/{kind}_{number}" if number else f"layers/{kind}")
            group = own.create_group("vars")
            if named:
                group.attrs["name"] = name
            group["0"], group["1"] = hwio(weight), bias
        file["optimizer/vars/0"] = 3


def keras_archive(path, layers):
    inner = io.BytesIO()
    keras3(inner, layers)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.4.1"}')
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", inner.getvalue())


# --- MatConvNet


def matlab_weights(layers, maps):
    """Yield (name, filters (R, S, C, K), biases (1, K)); `maps` are the inputs of dense layers."""
    for name, (weight, bias) in layers.items():
        full = weight.reshape(len(weight), *maps[name]) if weight.ndim == 2 else weight
        yield name, full.transpose(2, 3, 1, 0), bias[None]


def struct_row(records):
    """A row of structs, as SciPy wants it."""
    row = np.empty((1, len(records)), [(name, object) for name in records[0]])
    for i, record in enumerate(records):
        for name, value in record.items():
            row[name][0, i] = value
    return row


def cell(values):
    row = np.empty((1, len(values)), object)
    for i, value in enumerate(values):
        row[0, i] = value
    return row


def matlab5(path, layers, maps, *, compressed=True, year=2017):
    from scipy.io import savemat

    records = []
    for name, filters, biases in matlab_weights(layers, maps):
        if year < 2015:
            own = {"filters": filters, "biases": biases}
        else:
            own = {"weights": cell([filters, biases])}
        records += [cell([{"type": "conv", "name": name, **own}])[0, 0], {"type": "relu"}]
    top = {"layers": cell(records)}
    savemat(path, top if year < 2015 else {"net": top}, do_compression=compressed)


def matlab_dag(path, layers, maps):
    from scipy.io import savemat

    params = []
    for name, filters, biases in matlab_weights(layers, maps):
        params += [{"name": f"{name}f", "value": filters}, {"name": f"{name}b", "value": biases}]
    savemat(path, {"net": {"params": struct_row(params), "vars": 1.0}})


def matlab73(path, layers, maps):
    """As MATLAB writes it: reversed axes, no trailing ones, cells of references."""
    with h5py.File(path, "w", userblock_size=512) as file:
        refs, count = file.create_group("#refs#"), 0

        def put(value, kind):
            nonlocal count
            count += 1
            data = refs.create_dataset(str(count), data=value)
            data.attrs["MATLAB_class"] = np.bytes_(kind)
            return data.ref

        def cells(parent, name, references):
            data = parent.create_dataset(
                name, data=np.array(references, object)[:, None], dtype=h5py.ref_dtype
            )
            data.attrs["MATLAB_class"] = np.bytes_(b"cell")

        structs = []
        for name, filters, biases in matlab_weights(layers, maps):
            count += 1
            own = refs.create_group(str(count))
            own.attrs["MATLAB_class"] = np.bytes_(b"struct")
            own["name"] = np.frombuffer(name.encode(), np.uint8).astype("u2")[:, None]
            own["name"].attrs["MATLAB_class"] = np.bytes_(b"char")
            while filters.ndim > 2 and filters.shape[-1] == 1:
                filters = filters[..., 0]
            cells(own, "weights", [put(filters.T, b"single"), put(biases.T, b"single")])
            structs.append(own.ref)
        net = file.create_group("net")
        net.attrs["MATLAB_class"] = np.bytes_(b"struct")
        cells(net, "layers", structs)


# --- Torch7, MXNet and Lasagne


class Torch7:
    """Writes values as Torch7 does: binary, or numbers as text."""

    def __init__(self, *, ascii=False):
        self.ascii, self.out, self.count = ascii, b"", 0

    def numbers(self, form, *values):
        text = " ".join(f"{value:.17g}" for value in values).encode() + b"\n"
        self.out += text if self.ascii else struct.pack(f"<{len(values)}{form}", *values)

    def raw(self, text):
        self.numbers("i", len(text))
        self.out += text.encode() + b"\n" * self.ascii

    def begin(self, kind, name=None):
        self.count += 1
        self.numbers("i", kind)
        self.numbers("i", self.count)
        if name:
            self.raw("V 1")
            self.raw(name)

    def value(self, value):
        """A number, text, a dictionary, an array, a function (of Lua), or (class, fields)."""
        if isinstance(value, np.ndarray):
            self.tensor(value)
        elif isinstance(value, tuple):
            self.begin(4, value[0])
            self.value(value[1])
        elif isinstance(value, dict):
            self.begin(3)
            self.numbers("i", len(value))
            for item in value.items():
                self.value(item[0])
                self.value(item[1])
        elif isinstance(value, str):
            self.numbers("i", 2)
            self.raw(value)
        elif isinstance(value, bytes):
            self.numbers("i", 6)  # a function, of the kind without an index
            self.raw(value.decode())
            self.numbers("i", 0)
        else:
            self.numbers("i", 1)
            self.numbers("d", value)

    def tensor(self, array):
        name = {"<f4": "Float", "<f8": "Double"}[array.dtype.str]
        self.begin(4, f"torch.{name}Tensor")
        self.numbers("i", array.ndim)
        self.numbers("q", *array.shape)
        self.numbers("q", *(step // array.itemsize for step in array.strides))
        self.numbers("q", 1)
        self.begin(4, f"torch.{name}Storage")
        self.numbers("q", array.size)
        self.numbers(array.dtype.char, *array.ravel().tolist())


def torch7(path, value, **options):
    writer = Torch7(**options)
    writer.value(value)
    path.write_bytes(writer.out)


def torch7_layers(layers):
    """An nn.Sequential with the names of loadcaffe; convolutions in matrices, as those of MM."""
    modules = {}
    for i, (name, (weight, bias)) in enumerate(layers.items(), start=1):
        fields = {
            "name": name,
            "weight": weight,
            "bias": bias,
            "gradWeight": weight,
            "f": b"\x1bLua",
        }
        kind = "nn.Linear"
        if weight.ndim == 4:
            K, _, R, S = weight.shape
            fields |= {"weight": weight.reshape(K, -1), "nOutputPlane": K, "kH": R, "kW": S}
            kind = "nn.SpatialConvolutionMM"
        modules[i] = (kind, fields)
    return ("nn.Sequential", {"modules": modules, "output": np.zeros(3)})


def mxnet(path, arrays, *, version=2):
    """NDArrays of version 0 (of 2015), 1 or 2."""
    out = struct.pack("<3Q", 0x112, 0, len(arrays))
    for array in arrays.values():
        start = {0: "", 1: "<I", 2: "<2I"}[version]
        out += struct.pack(start, *(0xF993FAC7 + version, 0)[:version])
        sizes = f"<I{array.ndim}{'Q' if version else 'I'}"
        out += struct.pack(sizes, array.ndim, *array.shape) + struct.pack("<3I", 1, 0, 0)
        out += array.astype("<f4").tobytes()
    out += struct.pack("<Q", len(arrays))
    for name in arrays:
        out += struct.pack("<Q", len(name)) + name.encode()
    path.write_bytes(out)


def in_turn(layers):
    """All weights and biases in a list, matrices (in, out), as Lasagne has them."""
    return [a.T if a.ndim == 2 else a for arrays in layers.values() for a in arrays]


# --- TensorFlow and TensorFlow.js


def block(entries, *, step=16):
    """A block of sorted entries; every `step`th key is whole."""
    out, places, before = b"", [], b""
    for i, (key, value) in enumerate(entries):
        shared = 0
        if i % step:
            shared = next((n for n, (a, b) in enumerate(zip(key, before, strict=False)) if a != b),
                          min(len(key), len(before)))  # fmt: skip
        else:
            places.append(len(out))
        out += varint(shared) + varint(len(key) - shared) + varint(len(value))
        out, before = out + key[shared:] + value, key
    return out + struct.pack(f"<{len(places) + 1}I", *places, len(places))


def tensorflow_table(path, entries, per_block=5):
    items, out, handles = sorted(entries.items()), b"", []

    def add(part):
        nonlocal out
        handle = varint(len(out)) + varint(len(part))
        out += block_with_trailer(part)
        return handle

    for i in range(0, len(items), per_block):
        part = items[i : i + per_block]
        handles.append((part[-1][0], add(block(part))))
    footer = add(block([])) + add(block(handles, step=1))
    path.write_bytes(out + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57))


def block_with_trailer(part):
    return part + b"\0" + bytes(4)  # not compressed; the checksum is not looked at


def tensorflow_shape(array):
    return b"".join(field(2, field(1, int(size))) for size in array.shape)


def tensorflow_v2(path, arrays):
    """PREFIX.index and its one file of values; `path` is the .index."""
    entries, values = {b"": field(1, 1) + field(3, b"\x08\x01")}, b""
    for name, array in arrays.items():
        raw = array.tobytes()
        kind = {"<f4": 1, "<i8": 9}[array.dtype.str]
        entry = field(1, kind) + field(2, tensorflow_shape(array))
        entries[name.encode()] = entry + field(4, len(values)) + field(5, len(raw))
        values += raw
    tensorflow_table(path, entries)
    path.with_suffix(".data-00000-of-00001").write_bytes(values)


def tensorflow_v1(path, arrays):
    meta, entries = b"", {}
    for name, array in arrays.items():
        whole = b"".join(field(1, b"") for _ in array.shape)
        meta += field(1, field(1, name) + field(2, tensorflow_shape(array)) + field(3, 1))
        saved = field(1, name) + field(2, whole) + field(3, field(1, 1) + field(5, array.tobytes()))
        entries[b"\0" + name.encode()] = field(2, saved)
    tensorflow_table(path, {b"": field(1, meta), **entries})


def tfjs(path, arrays, shard=1000, *, coded=False):
    """`model.json` with the values in shards; `coded` in one byte."""
    weights, values = [], b""
    for name, array in arrays.items():
        entry = {"name": name, "shape": list(array.shape), "dtype": "float32"}
        if coded:
            low, scale = float(array.min()), float(np.ptp(array)) / 255 or 1.0
            array = np.round((array - low) / scale).astype("u1")
            entry["quantization"] = {"dtype": "uint8", "scale": scale, "min": low}
        weights.append(entry)
        values += array.tobytes()
    paths = []
    for i in range(0, len(values), shard):
        paths.append(f"group1-shard{len(paths) + 1}.bin")
        path.with_name(paths[-1]).write_bytes(values[i : i + shard])
    manifest = [{"paths": paths, "weights": weights}]
    path.write_text(json.dumps({"format": "layers-model", "weightsManifest": manifest}))


# --- darknet


def darknet(path, layers, pools, size, *, norms=(), old=False):
    """A `.weights` and its `.cfg`: a pool behind the layers in `pools`, dropouts among the last.

    `norms` are {layer: (gamma, beta, mean, var)}; `old` writes matrices (in, out), as version 1000.
    """
    cfg = [f"[net]\nchannels=3\nheight={size}\nwidth={size} # of a picture"]
    out = struct.pack("<3i", 0, 1001 if old else 2, 0) + struct.pack("<i" if old else "<q", 64)
    for name, (weight, bias) in layers.items():
        if weight.ndim == 2:
            cfg.append(f"[connected]\noutput={len(weight)}\n[dropout]\nprobability=.5")
            parts = [bias, weight.T if old else weight]
        else:
            normed = "batch_normalize=1\n" if name in norms else ""
            K, _, R, _ = weight.shape
            cfg.append(f"[convolutional]\n{normed}filters = {K}\nsize={R}\nstride=1\npad=1")
            gamma, beta, mean, var = norms[name] if normed else (None, bias, None, None)
            parts = [beta, *((gamma, mean, var) if normed else ()), weight]
        out += b"".join(np.ascontiguousarray(part, "<f4").tobytes() for part in parts)
        if name in pools:
            cfg.append("[maxpool]\nsize=2\nstride=2\n")
    path.write_bytes(out)
    path.with_suffix(".cfg").write_text("\n".join(cfg))


# --- NumPy and safetensors


def npy_dict(path, layers, *, lists=False):
    """caffe-tensorflow's dictionaries; `lists` as in bvlc_alexnet.npy."""
    table = {
        name: [hwio(w), b] if lists else {"weights": hwio(w), "biases": b}
        for name, (w, b) in layers.items()
    }
    np.save(path, table, allow_pickle=True)


def npz_frossard(path, layers):
    arrays = {}
    for name, (weight, bias) in layers.items():
        arrays |= {f"{name}_W": hwio(weight), f"{name}_b": bias}
    np.savez_compressed(path, **arrays)


def safetensors(path, arrays, *, dtype="F32"):
    header, body, at = {"__metadata__": {"format": "pt"}}, b"", 0
    for name, array in arrays.items():
        if dtype == "BF16":
            raw = (np.ascontiguousarray(array, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
        else:
            raw = np.ascontiguousarray(array, {"F32": "<f4", "F16": "<f2"}[dtype]).tobytes()
        shape = list(array.shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(raw)]}
        body, at = body + raw, at + len(raw)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)

"""Metadata of the package; the version is read from its source, which is not imported."""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "([^"]+)"',
    (HERE / "minicnn" / "__init__.py").read_text(encoding="utf-8"),
    re.MULTILINE,
)[1]
README = HERE / "README.md"

TEST = ["pytest>=8", "ruff>=0.17,<0.18", "mypy>=1.11", "setuptools>=77.0.3"]


def packages(folder):
    """Return the dotted names of the folders that hold sources."""
    return {".".join(path.parent.relative_to(HERE).parts) for path in folder.rglob("*.py")}


def data(folder):
    """Return every other file below a folder: pages, pictures, kernels, networks, `py.typed`."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix not in (".py", ".pyc")
        and not path.name.startswith(".")
        and not path.name.endswith("~")
    )


setup(
    # not `minicnn`: the index has another project of that name; the import name and the command
    # are `minicnn` all the same
    name="minicnn-numpy",
    version=VERSION,
    description="A CNN on NumPy with every gradient written out: looks inside networks, paints",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license_expression="MIT AND CC-BY-4.0",
    license_files=["LICENSE"],
    author="the minicnn developers",
    python_requires=">=3.10",
    packages=sorted(packages(HERE / "minicnn") | {"minicnn._weights", "minicnn_launcher"}),
    # the networks stand at the top level of the repository and are installed inside the package;
    # the launcher stands in the package and is installed a second time, beside it
    package_dir={
        "minicnn": "minicnn",
        "minicnn._weights": "weights",
        "minicnn_launcher": "minicnn/cli/launcher",
    },
    package_data={
        "minicnn": data(HERE / "minicnn"),
        "minicnn._weights": data(HERE / "weights"),
    },
    install_requires=[
        "numpy>=2",
        "scipy>=1.13",
        "pillow>=10.3",
        "h5py>=3.11",
        "tqdm>=4.60",
        "threadpoolctl>=3.2",
    ],
    extras_require={
        "plot": ["matplotlib>=3.8.4"],
        # with 2024.6 a scan does not go on where a worker was killed
        "distributed": ["dask>=2024.12", "distributed>=2024.12"],
        # where a CUDA toolkit is installed; with -ctk the libraries come along, and only the driver
        # must be there
        "cuda12": ["cupy-cuda12x>=14,<15"],
        "cuda13": ["cupy-cuda13x>=14,<15"],
        "cuda12-ctk": ["cupy-cuda12x[ctk]>=14,<15"],
        "cuda13-ctk": ["cupy-cuda13x[ctk]>=14,<15"],
        # compiles the kernels in tests, and counts their instructions, without a GPU
        "nvrtc": ["nvidia-cuda-nvrtc>=13", "nvidia-cuda-nvdisasm>=13"],
        "test": TEST,
        "bench": ["onnxruntime>=1.20", "onnx>=1.17"],
        "dev": [*TEST, "build>=1", "twine>=6.1", "pre-commit>=3.5"],
    },
    entry_points={"console_scripts": ["minicnn = minicnn_launcher:main"]},
    keywords=[
        "convolutional neural network",
        "backpropagation",
        "neural style transfer",
        "texture synthesis",
        "feature visualization",
        "deconvnet",
        "saliency",
        "numpy",
        "cupy",
    ],
    # tools/try_versions.py tries these versions of Python
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Graphics",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Processing",
        "Topic :: Scientific/Engineering :: Visualization",
        "Typing :: Typed",
    ],
)

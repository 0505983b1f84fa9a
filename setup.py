"""Metadata of the package; the version is read from its source, which is not imported."""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "([^"]+)"', (HERE / "minicnn" / "__init__.py").read_text(), re.MULTILINE
)[1]
README = HERE / "README.md"

SOURCES = {
    ".".join(path.parent.relative_to(HERE).parts) for path in (HERE / "minicnn").rglob("*.py")
}
TEST = ["pytest>=8", "ruff>=0.17,<0.18", "setuptools>=70.1"]

setup(
    name="minicnn",
    version=VERSION,
    description="A CNN on NumPy with every gradient written out; neural style transfer",
    long_description=README.read_text() if README.exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=sorted(SOURCES | {"minicnn.demo", "minicnn._weights"}),
    # the networks stand at the top level of the repository and are installed inside the package
    package_dir={"minicnn": "minicnn", "minicnn._weights": "weights"},
    package_data={
        "minicnn": ["*/*.md", "*/*/*.md", "methods/features/*.html"],
        "minicnn.demo": ["*.png", "*.jpg", "*.webp", "*.json", "*.md"],
        "minicnn.kernels": ["*.cu", "*.cuh"],
        "minicnn._weights": ["*.h5", "*.json", "*.md", "snapshots/*.h5"],
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
        "plot": ["matplotlib>=3.8"],
        "distributed": ["dask>=2024.5", "distributed>=2024.5"],
        # where a CUDA toolkit is installed; with -ctk the libraries come along, and only the driver
        # must be there
        "cuda12": ["cupy-cuda12x>=14,<15"],
        "cuda13": ["cupy-cuda13x>=14,<15"],
        "cuda12-ctk": ["cupy-cuda12x[ctk]>=14,<15"],
        "cuda13-ctk": ["cupy-cuda13x[ctk]>=14,<15"],
        "nvrtc": ["nvidia-cuda-nvrtc>=13"],  # compiles the kernels in tests, without a GPU
        "test": TEST,
        "bench": ["onnxruntime>=1.20", "onnx>=1.17"],
        "dev": [*TEST, "build>=1", "pre-commit>=3.5"],
    },
    entry_points={"console_scripts": ["minicnn = minicnn.cli:main"]},
    classifiers=[
        "Environment :: Console",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
)

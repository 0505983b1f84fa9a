"""Small networks of the kinds that are exported to ONNX, with weights drawn at random."""

import pytest

SHAPE = (3, 24, 24)
NAMES = (
    "vgg", "residual", "fire", "mobile", "leaky", "norms", "affine", "dense", "inverted",
    "inception", "oldest",
)  # fmt: skip


def models():
    """Return {name: (module, opset)}: small networks of the kinds that are exported."""
    torch = pytest.importorskip("torch")
    nn, F = torch.nn, torch.nn.functional

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=False)
            self.bn = nn.BatchNorm2d(6)
            self.conv1 = nn.Conv2d(6, 8, 3, stride=2, padding=1)
            self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
            self.down = nn.Conv2d(6, 8, 1, stride=2)
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(8, 5)

        def forward(self, x):
            x = F.relu(self.bn(self.stem(x)))
            x = F.relu(self.conv2(F.relu(self.conv1(x))) + self.down(x))
            return F.softmax(self.fc(torch.flatten(self.pool(x), 1)), 1)

    class Fire(nn.Module):
        def __init__(self):
            super().__init__()
            self.squeeze, self.one = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 1)
            self.three = nn.Conv2d(4, 6, 3, padding=1)
            self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)

        def forward(self, x):
            x = F.relu(self.squeeze(x))
            x = torch.cat([F.relu(self.one(x)), F.relu(self.three(x))], 1)
            return self.pool(x)

    class Affine(nn.Module):
        """Constants before and behind, and a matrix product that is no linear layer."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, stride=2)
            self.register_buffer("mean", torch.rand(1, 3, 1, 1))
            self.w, self.b = nn.Parameter(torch.randn(4 * 121, 7)), nn.Parameter(torch.randn(7))

        def forward(self, x):
            x = 2 * (x - self.mean) / 0.5
            return torch.matmul(torch.flatten(self.conv(x), 1), self.w) + self.b

    class Dense(nn.Module):
        """Every convolution reads all maps before it; normalisations come first."""

        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 6, 7, stride=2, padding=3, bias=False)
            self.norms = nn.ModuleList(nn.BatchNorm2d(6 + 4 * i) for i in range(4))
            self.convs = nn.ModuleList(nn.Conv2d(6 + 4 * i, 4, 3, padding=1) for i in range(3))
            self.between = nn.Conv2d(18, 8, 1, bias=False)

        def forward(self, x):
            x = self.stem(x)
            for norm, conv in zip(self.norms, self.convs, strict=False):
                x = torch.cat([x, conv(F.relu(norm(x)))], 1)
            return F.avg_pool2d(self.between(F.relu(self.norms[3](x))), 2)

    class Inverted(nn.Module):
        """Wide in the middle, one filter a channel there, and a sum without a rectifier."""

        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4))
            self.block = nn.Sequential(
                nn.Conv2d(4, 12, 1, bias=False),
                nn.BatchNorm2d(12),
                nn.ReLU6(),
                nn.Conv2d(12, 12, 3, 1, 1, groups=12, bias=False),
                nn.BatchNorm2d(12),
                nn.ReLU6(),
                nn.Conv2d(12, 4, 1, bias=False),
                nn.BatchNorm2d(4),
            )
            self.head = nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(4, 6)
            )

        def forward(self, x):
            x = F.relu6(self.stem(x))
            return self.head(x + self.block(x))

    class Inception(nn.Module):
        """Four roads beside each other, one of them with a row and a column as kernels."""

        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 6, 11, stride=4, padding=2)
            self.one = nn.Conv2d(6, 4, 1)
            self.five = nn.Sequential(nn.Conv2d(6, 3, 1), nn.ReLU(), nn.Conv2d(3, 4, 5, padding=2))
            self.seven = nn.Sequential(
                nn.Conv2d(6, 4, (1, 7), padding=(0, 3)), nn.Conv2d(4, 4, (7, 1), padding=(3, 0))
            )
            self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(6, 4, 1))

        def forward(self, x):
            x = F.relu(self.stem(x))
            roads = self.one, self.five, self.seven, self.pooled
            return F.relu(torch.cat([road(x) for road in roads], 1))

    return {
        "vgg": (nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, (3, 5)),
            nn.ReLU(), nn.Flatten(), nn.Linear(8 * 10 * 8, 9), nn.ReLU(), nn.Linear(9, 4),
        ), 9),
        "residual": (Residual(), 17),
        "fire": (Fire(), 13),
        "mobile": (nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU6(),
            nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8), nn.ReLU6(), nn.Conv2d(8, 4, 1),
        ), 11),
        "leaky": (nn.Sequential(
            nn.Conv2d(3, 4, 5, padding=2, padding_mode="zeros"), nn.LeakyReLU(0.2),
            nn.AvgPool2d(3, 2, padding=1, count_include_pad=False), nn.Conv2d(4, 4, 3, groups=2),
            nn.PReLU(4), nn.AvgPool2d(2, padding=1), nn.PReLU(),
        ), 12),
        "norms": (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), 16),
        "affine": (Affine(), 17),
        "dense": (Dense(), 14),
        "inverted": (Inverted(), 17),
        "inception": (Inception(), 15),
        "oldest": (nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.Hardtanh(-0.5, 0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(4, 3), nn.Softmax(1),
        ), 7),
    }  # fmt: skip

"""From the files of digits to a trained classifier and its predictions, with PyTorch.
Its folder of data comes as the argument, and it prints the share of test digits that are right."""

import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
torch.manual_seed(0)
folder = Path(sys.argv[1])
x, y, x_test, y_test = (
    torch.from_numpy(np.load(folder / f"{n}.npy")) for n in ("x", "y", "x_test", "y_test")
)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
for _ in range(30):
    for rows in torch.randperm(len(x)).split(32):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
with torch.inference_mode():
    print((model(x_test).argmax(dim=1) == y_test).float().mean().item())

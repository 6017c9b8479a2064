"""The formats that samples can be exported to; imports nothing, so that a command can list them."""

from typing import Literal

ExportFormat = Literal["coco", "yolo", "mvtec", "labelme"]

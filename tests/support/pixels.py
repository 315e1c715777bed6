"""What a page's video shows, as pixels."""

import base64

import numpy as np
from numpy.typing import NDArray
from playwright.async_api import Page

_LUMA_OF_RGB = np.array([0.299, 0.587, 0.114])
_GRAB = """video => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const draw = canvas.getContext("2d");
    draw.drawImage(video, 0, 0);
    const pixels = draw.getImageData(0, 0, canvas.width, canvas.height).data;
    const pieces = [];
    for (let at = 0; at < pixels.length; at += 8192) {
        pieces.push(String.fromCharCode(...pixels.subarray(at, at + 8192)));
    }
    return {width: canvas.width, height: canvas.height, pixels: btoa(pieces.join(""))};
}"""


async def luma_shown(page: Page) -> NDArray[np.uint8]:
    """Of the picture that the page's video shows now; full range, by the weights of ITU-R BT.601."""
    shown = await page.eval_on_selector("video", _GRAB)
    pixels = np.frombuffer(base64.b64decode(shown["pixels"]), dtype=np.uint8)
    rgba = pixels.reshape(shown["height"], shown["width"], 4)
    luma: NDArray[np.uint8] = np.rint(rgba[:, :, :3] @ _LUMA_OF_RGB).astype(np.uint8)
    return luma

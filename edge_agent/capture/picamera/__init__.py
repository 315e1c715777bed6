"""`picamera2:` a Raspberry Pi's own camera, through picamera2 and libcamera."""

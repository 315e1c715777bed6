"""`v4l2:` cameras of the kernel's Video4Linux2 interface: USB cameras (UVC), capture cards, sensors with a driver."""

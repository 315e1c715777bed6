"""An RTSP camera for the tests; run by the system's Python with Debian's GStreamer bindings.

Prints its port on standard output when it listens. `rtsp.py` beside it starts and stops it.
"""

import argparse
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")

from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 -- versions are chosen before import

_ENCODERS = {
    "h264": "x264enc speed-preset=veryfast key-int-max={gop} bitrate={kbps} bframes={bframes} b-adapt=false {tune} "
    "! video/x-h264,profile={profile} ! h264parse ! rtph264pay name=pay0 pt=96 config-interval={config}",
    "h265": "x265enc speed-preset=ultrafast key-int-max={gop} bitrate={kbps} log-level=none "
    "option-string=bframes={bframes}:b-adapt=0:rc-lookahead=5 "
    "! h265parse ! rtph265pay name=pay0 pt=96 config-interval={config}",
    "mjpeg": "jpegenc ! rtpjpegpay name=pay0 pt=26",
}


def _launch(args: argparse.Namespace) -> str:
    if args.file:
        return (
            f"( filesrc location={args.file} ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
        )
    if args.stdin:
        return "( fdsrc fd=0 do-timestamp=true ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
    picture = f"video/x-raw,format=I420,width={args.width},height={args.height},framerate={args.fps}/1"
    encoder = _ENCODERS[args.codec].format(
        gop=args.gop,
        kbps=args.kbps,
        bframes=args.bframes,
        tune="" if args.bframes else "tune=zerolatency",
        profile="main" if args.bframes else "baseline",
        config=-1 if args.in_band else 0,
    )
    return f"( videotestsrc is-live=true ! capsfilter name=size caps={picture} ! timeoverlay ! {encoder} )"


def _change_size(media: GstRtspServer.RTSPMedia, args: argparse.Namespace) -> bool:
    width, height = args.change_to.split("x")
    text = f"video/x-raw,format=I420,width={width},height={height},framerate={args.fps}/1"
    media.get_element().get_by_name("size").set_property("caps", Gst.Caps.from_string(text))
    return bool(GLib.SOURCE_REMOVE)


def _factory(args: argparse.Namespace) -> GstRtspServer.RTSPMediaFactory:
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(_launch(args))
    factory.set_shared(True)
    if args.change_to:

        def configured(_factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
            GLib.timeout_add(int(args.change_after_s * 1000), _change_size, media, args)

        factory.connect("media-configure", configured)
    return factory


def _authenticate(
    server: GstRtspServer.RTSPServer, factory: GstRtspServer.RTSPMediaFactory, args: argparse.Namespace
) -> None:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)
    if not args.password:
        auth.set_default_token(token)
    elif args.auth == "basic":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(args.user, args.password), token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(args.user, args.password, token)
    if args.tls_certificate:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(args.tls_certificate))
    server.set_auth(auth)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default="0")
    parser.add_argument("--codec", choices=sorted(_ENCODERS), default="h264")
    parser.add_argument("--width", type=int, default=704)
    parser.add_argument("--height", type=int, default=576)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--gop", type=int, default=25)
    parser.add_argument("--kbps", type=int, default=1000)
    parser.add_argument("--bframes", type=int, default=0)
    parser.add_argument("--in-band", action="store_true", help="parameter sets before each key frame")
    parser.add_argument("--change-to", default="", help="WIDTHxHEIGHT in mid-stream")
    parser.add_argument("--change-after-s", type=float, default=2.0)
    parser.add_argument("--auth", choices=["basic", "digest"], default="digest")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password", default="")
    parser.add_argument("--tls-certificate", default="", help="PEM with certificate and key")
    parser.add_argument("--file", default="", help="an MP4 with H.264, played once for each client")
    parser.add_argument("--stdin", action="store_true", help="serve Annex B H.264 that comes on standard input")
    return parser.parse_args()


def main() -> None:
    """Serve until killed."""
    args = _arguments()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(args.port)
    factory = _factory(args)
    if args.password or args.tls_certificate:
        _authenticate(server, factory, args)
    server.get_mount_points().add_factory("/cam", factory)
    if not server.attach(None):
        sys.exit(f"cannot listen on port {args.port}")
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()

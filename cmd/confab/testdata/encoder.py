"""Publishes a test picture and a tone by WHIP (RFC 9725) with GStreamer's webrtcbin, until it is told to end.

Usage: encoder.py URL TOKEN. It prints the session's address when it has one, and "connected" when media can flow.
With --check it says only whether all that it needs is there.
"""

import signal
import sys
import urllib.request
from urllib.parse import urljoin

import gi

for name in ("Gst", "GstWebRTC", "GstSdp"):
    gi.require_version(name, "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

PIPELINE = """
webrtcbin name=peer bundle-policy=max-bundle
videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=10/1 ! videoconvert
  ! vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay
  ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! peer.
audiotestsrc is-live=true ! audioconvert ! audioresample ! opusenc ! rtpopuspay
  ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! peer.
"""


def request(method, url, token, body=None):
    headers = {"Authorization": "Bearer " + token}
    if body is not None:
        headers["Content-Type"] = "application/sdp"
    return urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=20)


class Encoder:
    def __init__(self, url, token):
        self.url, self.token, self.session = url, token, None
        self.loop = GLib.MainLoop()
        self.pipeline = Gst.parse_launch(PIPELINE)
        self.peer = self.pipeline.get_by_name("peer")
        self.peer.connect("on-negotiation-needed", self.offer)
        self.peer.connect("notify::ice-gathering-state", self.gathered)
        self.peer.connect("notify::connection-state", self.connected)

    def offer(self, peer):
        for i in range(2):
            peer.emit("get-transceiver", i).set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        peer.emit("create-offer", None, Gst.Promise.new_with_change_func(self.offered))

    def offered(self, promise):
        reply = promise.get_reply()  # which owns the offer
        self.peer.emit("set-local-description", reply.get_value("offer"), None)

    def gathered(self, peer, _):
        if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.post)

    def post(self):
        sdp = self.peer.get_property("local-description").sdp.as_text()
        with request("POST", self.url, self.token, sdp.encode()) as answer:
            self.session = urljoin(self.url, answer.headers["Location"])
            _, message = GstSdp.SDPMessage.new_from_text(answer.read().decode())
        print(self.session, flush=True)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self.peer.emit("set-remote-description", answer, None)

    def connected(self, peer, _):
        if peer.get_property("connection-state") == GstWebRTC.WebRTCPeerConnectionState.CONNECTED:
            print("connected", flush=True)

    def run(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, number, self.loop.quit)
        self.pipeline.set_state(Gst.State.PLAYING)
        self.loop.run()
        if self.session:
            request("DELETE", self.session, self.token).close()
        self.pipeline.set_state(Gst.State.NULL)


Gst.init(None)
elements = ("webrtcbin", "nicesrc", "dtlssrtpenc", "vp8enc", "opusenc", "rtpvp8pay", "rtpopuspay", "videotestsrc", "audiotestsrc")
missing = [name for name in elements if Gst.ElementFactory.find(name) is None]
if missing:
    sys.exit("missing: " + " ".join(missing))
if sys.argv[1:] != ["--check"]:
    Encoder(*sys.argv[1:]).run()

"""A program: it runs one GStreamer pipeline for a recorder and writes what comes out as framed records.

This package stands alone: the standard library and PyGObject (`gi`), syntax of Python 3.10. The system's Python runs
it, because GStreamer's bindings are the system's, while the agent's own Python may come from elsewhere (JetPack 6 has
3.10; docs/decisions/0021). It imports nothing of `edge_agent`, and its own modules by relative names.

    pipeline_child OUTPUT_FD CONTROL_FD [INPUT_FD]

- **Control** is read: one line of JSON, the order (the fields of `process.Order`), then `key` (ask the encoder
  for a key frame) and `stop` (end the stream in order). Its end means that the recorder is gone: this process ends at
  once. The description comes this way because it may hold a password, which a command line would show.
- **Output** gets records (`records`) and nothing else; what libraries print goes to standard output and error.
- **Input**, where there is one, brings pictures for a pipeline that begins with an open pad: an encoder.

Written against GStreamer 1.20 (JetPack 6) to 1.22 and run with 1.22 on x86 alone; never on a Jetson.
"""

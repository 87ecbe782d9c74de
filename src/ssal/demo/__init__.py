"""`ssal demo`: a page on this computer that shows what decided the prediction of an image.

| step | module |
|---|---|
| image → evidence, pixels, time | `answer` |
| answer → HTML | `page`, `templates/` |
| a few test images of the run | `samples` |
| the page and its events | `blocks`, the only one that imports gradio at its head |
| a port, the process, temporary files | `port`, `server` |
"""

from ssal.demo.server import run_demo

__all__ = ["run_demo"]

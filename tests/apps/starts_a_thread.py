"""What must not be preloaded: it leaves a thread."""

import threading

threading.Thread(target=threading.Event().wait, daemon=True).start()

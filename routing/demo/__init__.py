"""The demo: real processes on a stage of their own (stage.py), and the story they play (story.py)."""

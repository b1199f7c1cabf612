"""Engines that answer prompts: in this process, in a server that a run starts, or anywhere that
speaks OpenAI's protocol; prompts, and what becomes of the answers' text.

Stages ask an engine by `engine.py` alone, so another engine is another file here.
"""

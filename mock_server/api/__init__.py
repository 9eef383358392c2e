"""The server for Python code: here, in this process, or over its control API; the verbs of a session, and the words
for what it answers.
"""

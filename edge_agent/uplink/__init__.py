"""MQTT session, commands and uploads: all that speaks to the supervision centre."""

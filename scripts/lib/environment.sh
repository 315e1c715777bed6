# What a script of the project needs before it runs the project's own programs. Sourced from the root of the
# repository, after scripts/setup.

export PATH="$PWD/.venv/bin:$PATH"
unset PYTHONPATH PYTHONHOME
if [[ -z ${CSU_MOSQUITTO:-} && -x .cache/debian/mosquitto ]]; then
    export CSU_MOSQUITTO=$PWD/.cache/debian/mosquitto
fi
